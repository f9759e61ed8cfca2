#!/usr/bin/env bash
# The portable check where every part of it fails or hangs: each says why in a
# file of its own, none holds up the others, and the table is made.
#
#   gpu_check_test.sh RUN_SH
set -uo pipefail
here=$(dirname "$1")
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

check=$TEST_TMPDIR/check
mkdir -p "$check/models"
cp "$here"/run.sh "$here"/*.py "$check/"
for program in facet gpu_benchmark operations_gpu_test nccl_gpu_test; do
  printf '#!/bin/sh\necho "%s: the driver sees no GPU" >&2\nexit 1\n' "$program" \
    >"$check/$program"
  chmod +x "$check/$program"
done

# run OUT SECONDS: the exit code is of a check that failed.
run() {
  local rc=0
  OUT=$TEST_TMPDIR/$1 SCRATCH=$TEST_TMPDIR/scratch-$1 SECONDS_IN_ALL=$2 \
    "$check/run.sh" >"$TEST_TMPDIR/$1.log" 2>&1 || rc=$?
  [[ $rc -eq 1 ]] || fail "run.sh: exit $rc, expected 1: $(cat "$TEST_TMPDIR/$1.log")"
}

run refused 120
results=$TEST_TMPDIR/refused
steps=$(sed -n 's/^step \([^ ]*\) .*/\1/p' "$check/run.sh")
[[ $(wc -w <<<"$steps") -ge 15 ]] || fail "steps: found $steps"
for step in $steps; do
  grep -q "^$step: exit " "$results/summary.txt" || fail "$step has no end"
  [[ -s $results/$step.txt ]] || fail "$step says nothing"
  case $step in
    # Of the machine's own programs, which may be there or not.
    machine | torch | transformers | sanitizer) continue ;;
  esac
  grep -q "^$step: exit 1 after" "$results/summary.txt" || fail "$step passed"
  grep -q 'sees no GPU' "$results/$step.txt" || fail "$step does not say why"
done
grep -q '^kernels: exit 1' "$results/table.md" || fail "no summary in the table"

# One that hangs is ended, and what is out of time is told.
printf '#!/bin/sh\nsleep 1000\n' >"$check/facet"
run hung 12
grep -Eq '^start: exit (124|137), out of time' "$TEST_TMPDIR/hung/summary.txt" ||
  fail "the one that hangs was not ended: $(cat "$TEST_TMPDIR/hung/summary.txt")"
grep -q '^golden: not run, no time left' "$TEST_TMPDIR/hung/summary.txt" ||
  fail "what was not run is not told"
echo PASSED
