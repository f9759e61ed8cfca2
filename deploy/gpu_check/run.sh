#!/usr/bin/env bash
# Checks Facet on a machine with a GPU, in the order of what matters most, in
# nine minutes at most. Every step is a process of its own with a limit of its
# own: what one does to itself or to the device loses none of the others. What a
# step said is in $OUT/<step>.txt, how it ended in $OUT/summary.txt, figures side
# by side in $OUT/table.md.
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
# NCCL and cuBLAS, where a Python environment or a toolkit brings them.
for package in nccl cublas cu13; do
  path=$(python3 -c "import nvidia.$package as p; print(list(p.__path__)[0])" \
    2>/dev/null) && export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$path/lib"
done
export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/usr/local/cuda/lib64"
scratch=${SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch"
: >"$out/summary.txt"
deadline=$((SECONDS + ${SECONDS_IN_ALL:-540}))

# step NAME SECONDS COMMAND...: a function or a program.
step() {
  local name=$1 limit=$2 left=$((deadline - SECONDS)) begin=$SECONDS rc=0
  shift 2
  if [[ $left -lt 5 ]]; then
    echo "$name: not run, no time left" | tee -a "$out/summary.txt"
    return
  fi
  [[ $limit -lt $left ]] || limit=$left
  # Functions are not programs, and timeout starts only those.
  timeout --kill-after=5 "$limit" bash -c '"$@"' step "$@" \
    >"$out/$name.txt" 2>&1 || rc=$?
  local how="exit $rc"
  [[ $rc -eq 124 || $rc -eq 137 ]] && how="exit $rc, out of time ($limit s)"
  echo "$name: $how after $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
}

logits() { # MODEL OUT [FLAG...]
  local model=$1 file=$2
  shift 2
  ./facet logits --model "models/$model" --tokens "$scratch/tokens" \
    --out "$scratch/$file" "$@"
}

same_logits() {
  local model rc=0
  echo '{"prompts": [[2, 17, 5, 300, 44, 9, 12, 7], [2, 99]]}' >"$scratch/tokens"
  for model in dense-tiny moe-tiny; do
    logits "$model" cpu --device=cpu || return 1
    logits "$model" gpu --device=cuda || return 1
    logits "$model" chunk --device=cuda --chunk=3 || return 1
    FACET_CUDA_GRAPHS=0 logits "$model" alone --device=cuda || return 1
    for file in gpu chunk alone; do
      if cmp "$scratch/cpu" "$scratch/$file"; then
        echo "$model, $file: the processors' logits, bit for bit"
      else
        rc=1
      fi
    done
  done
  return "$rc"
}

# Greedy and drawn answers, chosen on the GPU, are the processors'.
same_answers() {
  local model device
  for model in dense-tiny moe-tiny; do
    for device in cpu cuda; do
      ./facet generate --model "models/$model" --device="$device" \
        --prompt 'Once upon a time' --max-tokens 40 >"$scratch/greedy-$device" &&
        ./facet generate --model "models/$model" --device="$device" \
          --prompt 'Once upon a time' --max-tokens 40 --temperature 1 \
          --top-k 64 --top-p 0.95 --seed 7 >"$scratch/drawn-$device" || return 1
    done
    cmp "$scratch/greedy-cpu" "$scratch/greedy-cuda" || return 1
    cmp "$scratch/drawn-cpu" "$scratch/drawn-cuda" || return 1
    echo "$model: the GPU's answers are the processors'"
  done
}

sanitizer() {
  local tool tests='*Norms*:*Router*:*Elementwise*:*Best*:*Experts*:*OnTensorCores*'
  command -v compute-sanitizer >/dev/null || { echo "not installed"; return 0; }
  for tool in memcheck racecheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 ./operations_gpu_test \
      --gtest_filter="$tests" || return 1
  done
}

# Weights are drawn on the GPU itself; nothing but a config is written.
steps() { # PRESET [FLAG...]
  local preset=$1
  shift
  TMPDIR=$scratch ./facet bench --device=cuda --drawn --synthetic="$preset" \
    --kv-format=bf16 --prompt="${PROMPT:-512}" --decode=64 --repeat=3 --json \
    "$@"
}

# Drawn weights are the processors', seen by what a model makes of them.
same_drawn() {
  local preset device
  for preset in tiny tiny-moe; do
    steps "$preset" --only=decode >/dev/null || return 1
    for device in cpu cuda; do
      ./facet generate --model "$scratch/facet-synthetic/$preset-drawn" \
        --device="$device" --prompt 'Once upon a time' --max-tokens 40 \
        --ignore-eos >"$scratch/drawn-$device" || return 1
    done
    cmp "$scratch/drawn-cpu" "$scratch/drawn-cuda" || return 1
    echo "$preset: weights drawn on the GPU are the processors'"
  done
}

# A prompt in one step of the mode that prefers speed.
steps_fast() { # PRESET
  PROMPT=4096 steps "$1" --only=prefill --chunk=4096 --numerics=fast
}

# What graphs are worth: the same step with a call for every kernel.
steps_alone() { # PRESET
  FACET_CUDA_GRAPHS=0 steps "$1" --only=decode --batch=1
}

# And what it is worth that norms fetch the weights of the next product.
steps_unfetched() { # PRESET
  FACET_CUDA_FETCH_AHEAD=0 steps "$1" --only=decode --batch=1
}

export scratch
export -f logits same_logits same_answers same_drawn sanitizer steps \
  steps_alone steps_fast steps_unfetched

step machine 20 nvidia-smi -q -d CLOCK,POWER,MEMORY
step start 30 ./facet generate --model models/dense-tiny --device=cuda \
  --prompt Hello --max-tokens 5
step kernels 90 ./operations_gpu_test
step golden 60 same_logits
step answers 60 same_answers
step drawn 40 same_drawn
step launches 20 ./gpu_benchmark launches drawing
step messages 60 ./nccl_gpu_test
step products 60 ./gpu_benchmark products
step experts 30 ./gpu_benchmark experts
step prompts 60 ./gpu_benchmark prompts
step attention 40 ./gpu_benchmark attention
step model-31b 120 steps 31b --only=decode,concurrency,prefill --batch=1,8,32
step model-26b-a4b 100 steps 26b-a4b --only=decode,concurrency,prefill \
  --batch=1,8,32
step model-31b-fast 60 steps_fast 31b
step model-26b-a4b-fast 60 steps_fast 26b-a4b
step slice-31b 40 steps slice-31b --only=decode,prefill
step transformers 60 python3 transformers_step.py
step sanitizer 60 sanitizer
step torch 40 python3 torch_products.py
step model-31b-bf16 60 steps 31b --only=decode,prefill --activations=bf16
step model-26b-a4b-alone 40 steps_alone 26b-a4b
step model-26b-a4b-unfetched 40 steps_unfetched 26b-a4b
python3 table.py "$out" >"$out/table.md" || cp "$out/summary.txt" "$out/table.md"
cat "$out/table.md"
grep -q 'exit [^0]' "$out/summary.txt" && exit 1
exit 0
