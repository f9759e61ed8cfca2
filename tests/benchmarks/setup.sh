#!/usr/bin/env bash
# Installs the engines that compare.py compares Facet with, each in a virtual
# environment of its own under a cache directory. llama.cpp is compiled for this
# machine, which takes a while.
#
#   tests/benchmarks/setup.sh [CACHE_DIRECTORY]
#
# PYTHON names the interpreter (default python3). An engine that cannot be
# installed is left out, and so is it by compare.py.
set -uo pipefail

cache="${1:-${XDG_CACHE_HOME:-$HOME/.cache}/facet/peers}"
python="${PYTHON:-python3}"
mkdir -p "$cache"
failed=0

# install ENVIRONMENT PIP_ARGUMENTS...
install() {
  local environment="$cache/$1"
  shift
  "$python" -m venv "$environment" &&
    "$environment/bin/pip" install --disable-pip-version-check "$@" ||
    { echo "setup.sh: $environment: not installed" >&2; failed=1; }
}

# From source for the instruction sets of this machine and with the RPC backend,
# for two workers.
CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_RPC=ON -DLLAVA_BUILD=OFF" \
  install llama_cpp --no-binary=llama-cpp-python llama-cpp-python==0.3.36

install transformers torch==2.15.0 transformers==5.23.0 safetensors numpy

exit "$failed"
