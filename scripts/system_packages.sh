#!/usr/bin/env bash
# Makes sure of a C++ compiler and of Python's venv and headers, from Debian's packages where that is possible; with
# "tests" as the second argument of curl, a Redis server and Chromium too, with "scale" of Java (for Spark), without which
# the tests that need them are skipped.
set -eu
python=${1:-python3}
missing=()
command -v "$python" >/dev/null || missing+=(python3 python3-venv python3-dev)
command -v c++ >/dev/null || missing+=(g++)
if command -v "$python" >/dev/null; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "crossrank needs Python 3.11 or newer; $("$python" --version) is too old. Name another: make PYTHON=python3.12 ..." >&2
    exit 1
  }
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  "$python" -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
    missing+=(python3-dev)
fi
apt() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] &&
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >&2
}
if [ ${#missing[@]} -ne 0 ] && ! apt "${missing[@]}"; then
  echo "Please install: ${missing[*]} (Debian names), then run make again." >&2
  exit 1
fi
if [ "${2:-}" = tests ] && ! command -v curl >/dev/null && ! apt curl; then
  echo "There is no curl: the tests that need it are skipped." >&2
fi
if [ "${2:-}" = tests ] && ! command -v redis-server >/dev/null && ! apt redis-server; then
  echo "There is no redis-server: the tests that need one are skipped." >&2
fi
if [ "${2:-}" = tests ] && [ ! -e /usr/bin/chromium ] && ! apt chromium; then
  echo "There is no chromium: the tests of the playground are skipped." >&2
fi
if [ "${2:-}" = scale ] && ! command -v java >/dev/null && ! apt default-jre-headless; then
  echo "There is no java: the tests of Spark are skipped." >&2
fi
if [ "${2:-}" = tests ] && ! command -v openssl >/dev/null && ! apt openssl; then
  echo "There is no openssl: the test of the server's TLS is skipped." >&2
fi
