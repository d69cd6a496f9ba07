#!/usr/bin/env bash
# Compiles the C++ tests for 64-bit ARM and runs them in an emulator, with and without dot products.
set -eu
tools=${1:?the folder that holds python, cmake and ninja}
root=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$(cd "$tools" && pwd):$PATH"
missing=()
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu libc6-dev-arm64-cross)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"
  else
    echo "Please install: ${missing[*]} (Debian names), then run make again." >&2
    exit 1
  fi
fi
build=$root/build/cross-arm
cmake -S "$root/native" -B "$build" -G Ninja -DCROSSRANK_TESTS=ON -DPython_EXECUTABLE="$(command -v python)" \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ >/dev/null
cmake --build "$build" --target test_kernels >/dev/null
for cpu in max cortex-a57; do
  echo "C++ tests, $cpu"
  qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu "$cpu" "$build/test_kernels"
done
