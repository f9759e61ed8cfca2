#!/usr/bin/env bash
# Builds facet and its checks for GPUs where there is a CUDA toolkit, and tests
# what needs no GPU: that all architectures are in the binaries, and what facet
# says where there is no driver. Where there is no toolkit it does nothing.
#
#   tests/cuda_build.sh                            however long it takes
#   FACET_CUDA_SECONDS=300 tests/cuda_build.sh     whatever is done by then
#
# Fails for an error; running out of time is none, and is said.
set -uo pipefail
cd "$(dirname "$0")/.."

home=${CUDA_HOME:-/usr/local/cuda}
if [[ ! -x $home/bin/nvcc ]]; then
  echo "cuda_build.sh: no $home/bin/nvcc, nothing is built for GPUs"
  exit 0
fi
limit=${FACET_CUDA_SECONDS:-0} # 0: none
status=0
timeout --signal=INT --kill-after=30 "$limit" bazel test --config=cuda \
  --repo_env=CUDA_HOME="$home" --test_output=errors \
  //kernels/cuda:binary_architectures_test \
  //tests/gpu:no_driver_test || status=$?
# Bazel answers an interrupt with 8, unless timeout speaks for it.
if [[ $limit -gt 0 && ($status -eq 124 || $status -eq 8) ]]; then
  echo "cuda_build.sh: not done within $limit s, the rest is not built"
  exit 0
fi
exit "$status"
