#!/usr/bin/env bash
# Runs the C++ tests under AddressSanitizer with UndefinedBehaviorSanitizer, then under ThreadSanitizer.
set -eu
tools=${1:?the folder that holds python, cmake and ninja}
root=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$(cd "$tools" && pwd):$PATH"
for sanitizer in address,undefined thread; do
  build=$root/build/sanitize-${sanitizer%%,*}
  cmake -S "$root/native" -B "$build" -G Ninja -DCROSSRANK_TESTS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DPython_EXECUTABLE="$(command -v python)" \
    -DCMAKE_CXX_FLAGS="-fsanitize=$sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer" >/dev/null
  cmake --build "$build" --target test_kernels test_passes >/dev/null
  echo "C++ tests, -fsanitize=$sanitizer"
  ctest --test-dir "$build" --output-on-failure
done
