#!/usr/bin/env bash
# Binaries with kernels for GPUs start where there is no driver, and say so.
#
#   no_driver_test.sh FACET OPERATIONS_GPU_TEST GPU_BENCHMARK MODEL
set -uo pipefail
facet=$1 operations=$2 benchmark=$3 model=$4

if compgen -G '/dev/nvidia[0-9]*' >/dev/null; then
  echo "there is a GPU here: nothing to see"
  exit 0
fi

# expect_refusal COMMAND...
expect_refusal() {
  local said rc=0
  said=$("$@" 2>&1) || rc=$?
  if [[ $rc -eq 0 || $rc -ge 128 ]]; then
    echo "$*: exit $rc, expected an error"
    echo "$said"
    exit 1
  fi
  # A driver's library without a GPU is another way to have none.
  if ! grep -Eq 'no NVIDIA driver|the driver sees no GPU' <<<"$said"; then
    echo "$*: expected it to name what is missing, found:"
    echo "$said"
    exit 1
  fi
  if ! grep -q 'device=cuda' <<<"$said"; then
    echo "$*: expected it to name the flag, found:"
    echo "$said"
    exit 1
  fi
}

expect_refusal "$facet" generate --model "$model" --device=cuda --prompt Hello
expect_refusal "$facet" generate --model "$model" --device=cuda:1 --prompt Hello
expect_refusal "$operations"
expect_refusal "$benchmark"
# The same binary serves on processors.
"$facet" generate --model "$model" --prompt Hello --max-tokens 2 --ignore-eos ||
  exit 1
