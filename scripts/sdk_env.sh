#!/usr/bin/env bash
# Makes .venv-NAME with the vendors' clients of tests/sdks/NAME.txt, which the tests of the server run in processes of
# their own: two versions of one SDK do not fit into one environment, nor all they need beside what crossrank needs.
set -eu
cd "$(dirname "$0")/.."
name=$1
python=${2:-python3}
folder=.venv-$name
wanted=tests/sdks/$name.txt
[ -f "$folder/made.txt" ] && cmp -s "$wanted" "$folder/made.txt" && exit 0
echo "Setting up $folder ..."
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet --requirement "$wanted"
cp "$wanted" "$folder/made.txt"
