#!/usr/bin/env bash
# Collects what a bare GPU machine needs to check Facet (binaries, their
# libraries, two small models) in a folder below 64 MiB. Kernels are those of one
# architecture: of all of them, the binaries alone would be larger.
#
#   deploy/gpu_check/collect.sh DIR       then, over there: DIR/run.sh
#   ARCHITECTURE=80 ...                   of another GPU than Hopper's, 90a
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:?"usage: deploy/gpu_check/collect.sh DIR"}
mkdir -p "$out/lib" "$out/models"
bazel ${FACET_OUTPUT_BASE:+--output_base="$FACET_OUTPUT_BASE"} build \
  --config=cuda --//kernels/cuda:only_architecture="${ARCHITECTURE:-90a}" \
  //:facet //kernels/cuda:gpu_benchmark \
  //kernels/cuda:operations_gpu_test //runtime/comm:nccl_gpu_test
for binary in rpc/cli/facet kernels/cuda/gpu_benchmark \
  kernels/cuda/operations_gpu_test runtime/comm/nccl_gpu_test; do
  file="$out/$(basename "$binary")"
  install -m 755 "bazel-bin/$binary" "$file"
  strip "$file"
  # All but the C library and the driver: those must be the machine's own.
  ldd "$file" | awk '$3 ~ /^\// {print $3}' |
    grep -Ev '/(libc|libm|libdl|librt|libpthread|libcuda)\.so' |
    xargs -r -I{} cp -Ln {} "$out/lib/"
done
for model in dense-tiny moe-tiny; do
  mkdir -p "$out/models/$model"
  cp tests/testdata/golden/"$model"/*.* "$out/models/$model/"
done
cp deploy/gpu_check/run.sh deploy/gpu_check/*.py "$out/"
bytes=$(du -sb "$out" | cut -f1)
echo "$out: $((bytes >> 20)) MiB"
if [[ $bytes -ge $((64 << 20)) ]]; then
  echo "collect.sh: $out is not below 64 MiB" >&2
  exit 1
fi
