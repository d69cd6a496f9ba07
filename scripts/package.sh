#!/usr/bin/env bash
# Makes in dist/ what is released, and checks it: the source, a wheel for each Python that is named, and the list of what
# the wheel brings with it (SBOM). With --twice as the first argument all is built again elsewhere and compared.
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/.venv/bin
twice=
[ "${1:-}" = --twice ] && { twice=yes; shift; }
[ $# -gt 0 ] || set -- "$tools/python"
export PATH=$tools:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$PWD/constraints.txt
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --pretty=%ct)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_all() {  # FOLDER PYTHON...
  local to=$1; shift
  mkdir -p "$to/made"
  python -m build --sdist --outdir "$to" . >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  for one in "$@"; do  # from the source that is released, not from this folder
    pip --python "$one" wheel --quiet --no-deps --wheel-dir "$to/made" "$to"/crossrank-*.tar.gz
  done
  for wheel in "$to"/made/*.whl; do
    if [ "$(uname -s)" = Linux ]; then auditwheel repair --wheel-dir "$to" "$wheel" 2>&1 | grep -i "tag" || true; else cp "$wheel" "$to"; fi
  done
  rm -r "$to/made"
}

rm -rf dist
make_all dist "$@"
twine check --strict dist/*
python scripts/check_wheel.py dist/*.whl
for wheel in dist/*-abi3-*.whl; do
  [ ! -e "$wheel" ] || abi3audit --strict --summary "$wheel"
done

if [ -n "$twice" ]; then
  mkdir "$work/elsewhere"
  git ls-files -z | xargs -0 cp --parents -t "$work/elsewhere"
  (cd "$work/elsewhere" && git init -q && git add -A && make_all "$work/again" "$@")
  for file in dist/*; do cmp "$file" "$work/again/$(basename "$file")"; done
  echo "Built again in another folder: the same bytes."
fi

scripts/try_wheel.sh "$@"
(cd dist && sha256sum crossrank-* >SHA256SUMS && cat SHA256SUMS)
