#!/usr/bin/env bash
# Checks Facet on a machine with a GPU, in the order of what matters most, in
# nine minutes at most. Every step is independent of the others; what it said is
# in $OUT/<step>.txt, how it ended in $OUT/summary.txt.
#
#   ./run.sh                 OUT=results
#   OUT=/tmp/x ./run.sh
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"
export LD_LIBRARY_PATH="$here/lib:${LD_LIBRARY_PATH:-}"
# NCCL, where a Python environment brings one.
nccl=$(python3 -c 'import nvidia.nccl as n; print(n.__path__[0])' 2>/dev/null) &&
  export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$nccl/lib"
scratch=${SCRATCH:-$(mktemp -d)}
: >"$out/summary.txt"
deadline=$((SECONDS + 540))

# step NAME SECONDS COMMAND...
step() {
  local name=$1 limit=$2 left=$((deadline - SECONDS)) begin=$SECONDS rc=0
  shift 2
  if [[ $left -lt 5 ]]; then
    echo "$name: not run, no time left" | tee -a "$out/summary.txt"
    return
  fi
  timeout "$((limit < left ? limit : left))" "$@" >"$out/$name.txt" 2>&1 || rc=$?
  echo "$name: exit $rc after $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
}

golden() {  # MODEL [FLAG...]
  local model=$1
  shift
  ./facet logits --model "models/$model" --tokens "$scratch/tokens" "$@"
}

same_logits() {
  local model
  echo '{"prompts": [[2, 17, 5, 300, 44, 9, 12, 7], [2, 99]]}' >"$scratch/tokens"
  for model in dense-tiny moe-tiny; do
    golden "$model" --device=cpu --out "$scratch/cpu" || return 1
    golden "$model" --device=cuda --out "$scratch/gpu" || return 1
    cmp "$scratch/cpu" "$scratch/gpu" || return 1
    golden "$model" --device=cuda --chunk=3 --out "$scratch/chunk" || return 1
    cmp "$scratch/cpu" "$scratch/chunk" || return 1
    echo "$model: the logits of the GPU are the processors', bit for bit"
  done
}

sanitizer() {
  local tool
  command -v compute-sanitizer >/dev/null || { echo "not installed"; return 0; }
  for tool in memcheck racecheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 ./operations_gpu_test \
      --gtest_filter='*Norms*:*Router*:*Elementwise*' || return 1
  done
}

slice() {  # PRESET
  TMPDIR=$scratch ./facet bench --device=cuda --synthetic="$1:$scratch/$1" \
    --kv-format=bf16 --kv-memory=16G --only=decode,prefill --batch=1,8,32 \
    --prompt=512 --decode=64 --repeat=3 --json
}

step machine 20 nvidia-smi -q -d CLOCK,POWER,MEMORY
step kernels 90 ./operations_gpu_test
step golden 60 same_logits
step sanitizer 60 sanitizer
step benchmark 90 ./gpu_benchmark
step slice-31b 120 slice slice-31b
step slice-26b-a4b 120 slice slice-26b-a4b
step transformers 90 python3 transformers_step.py
cat "$out/summary.txt"
grep -q 'exit [^0]' "$out/summary.txt" && exit 1
exit 0
