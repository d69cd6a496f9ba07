#!/usr/bin/env bash
# Installs the wheels of dist/ for each Python that is named, in an environment of its own, and ranks there: no compiler on
# PATH, no network, no home, not in this folder. What is installed then becomes the SBOM (CycloneDX).
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for python in "$@"; do
  rm -rf "$work/env"
  "$python" -m venv "$work/env"
  wheel=$("$work/env/bin/pip" --disable-pip-version-check download --quiet --no-deps --no-index --find-links dist \
    --dest "$work/taken" crossrank >/dev/null && ls "$work"/taken/*.whl)
  "$work/env/bin/pip" --disable-pip-version-check install --quiet --only-binary :all: --constraint constraints.txt "$wheel"
  rm -r "$work/taken"
  mkdir -p "$work/elsewhere" "$work/bin"
  echo "$(basename "$wheel") in $("$work/env/bin/python" --version), without a compiler:"
  (cd "$work/elsewhere" && env -i PATH="$work/env/bin:$work/bin" HOME=/nonexistent HF_HUB_OFFLINE=1 \
    "$work/env/bin/python" "$root/scripts/check_wheel.py" --installed)
  (cd "$work/elsewhere" && env -i PATH="$work/env/bin:$work/bin" HOME=/nonexistent HF_HUB_OFFLINE=1 \
    crossrank rank "when did alcohol become illegal" "$root/examples/amendments.jsonl" --fields title,text --top-k 1)
done
version=$("$work/env/bin/python" -c "import crossrank; print(crossrank.__version__)")
"$work/env/bin/pip" --disable-pip-version-check uninstall --quiet --yes setuptools pip 2>/dev/null
sed "s/^dynamic = .*/version = \"$version\"/" pyproject.toml >"$work/pyproject.toml"
cyclonedx-py environment "$work/env/bin/python" --pyproject "$work/pyproject.toml" --mc-type library --output-reproducible \
  --of JSON -o "dist/crossrank-$version.cdx.json"
