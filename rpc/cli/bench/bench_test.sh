#!/bin/bash
# Runs the real command on a small synthetic model: every figure that it
# promises is there and positive. Says nothing about how fast anything is.
set -euo pipefail

facet="$1"
model="tiny:${TEST_TMPDIR}/tiny"
small=(--repeat=1 --context=1500 --prompt=64 --decode=4 --batch=1,4 --batch-prompt=8)

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect FILE GROUP NAME: the figure is in FILE and its median above 0.
expect() {
  awk -v group="\"group\": \"$2\"," -v name="\"name\": \"$3\"," '
    index($0, group) { in_group = 1 }
    index($0, "}") { in_group = named = 0 }
    in_group && index($0, name) { named = 1 }
    named && /"median":/ { found = ($2 + 0 > 0) }
    END { exit !found }' "$1" || {
    cat "$1" >&2
    fail "no positive figure $2.$3"
  }
}

expect_all() {
  expect "$1" load ready
  expect "$1" load first_token
  expect "$1" "limits before" matvec
  expect "$1" "limits after" f32_fma
  expect "$1" decode tokens_per_s
  expect "$1" decode bytes_per_s
  expect "$1" decode step_p99
  expect "$1" "concurrency 4" tokens_per_s
  expect "$1" "prefill 64" arithmetic
  expect "$1" "context 1500" bytes_per_s
  expect "$1" collectives all_reduce_512B_p50
  expect "$1" memory pss
  expect "$1" memory anonymous
}

"$facet" bench --synthetic="$model" "${small[@]}" --json \
  > "${TEST_TMPDIR}/one.json"
expect_all "${TEST_TMPDIR}/one.json"

"$facet" bench --synthetic="$model" "${small[@]}" --workers=2 --threads=1 \
  --json > "${TEST_TMPDIR}/two.json"
expect_all "${TEST_TMPDIR}/two.json"
# It may be 0: the next step waits at the workers when this one ends.
grep -q '"name": "control_p50"' "${TEST_TMPDIR}/two.json" ||
  fail "no figure control_p50"

# Every operation of a step, for decode and prefill.
"$facet" bench --synthetic="$model" "${small[@]}" --profile \
  > "${TEST_TMPDIR}/profile.txt"
for line in "decode, 1 sequence: " "decode, 4 sequences" \
  "prefill, 64 tokens" "mlp: gate, up" "head: logits" "rest: sampling"; do
  grep -q "$line" "${TEST_TMPDIR}/profile.txt" || {
    cat "${TEST_TMPDIR}/profile.txt" >&2
    fail "no \"$line\" in the profile"
  }
done

# What was not asked for is not there.
"$facet" bench --synthetic="$model" "${small[@]}" --only=collectives --json \
  > "${TEST_TMPDIR}/only.json"
expect "${TEST_TMPDIR}/only.json" collectives all_reduce_512B_p50
grep -q '"group": "decode"' "${TEST_TMPDIR}/only.json" &&
  fail "--only=collectives measured decode"

"$facet" bench --synthetic="$model" "${small[@]}" --only=prefill \
  > "${TEST_TMPDIR}/table.txt"
grep -q "of f32 FMA peak" "${TEST_TMPDIR}/table.txt" || fail "no fraction"

# Serving: loads of both kinds, each with its bound, and a prompt used twice.
serving=(--serving --seconds=1 --shared-prompt=320)
"$facet" bench --synthetic="$model" "${serving[@]}" --concurrency=1,4 --rate=5 \
  --json > "${TEST_TMPDIR}/serving.json"
for load in "closed 1" "closed 4" "open 5/s"; do
  # A slow machine says so where a window saw too little.
  grep -q "$load: too few answers" "${TEST_TMPDIR}/serving.json" && continue
  expect "${TEST_TMPDIR}/serving.json" "$load" output_tokens_per_s
  expect "${TEST_TMPDIR}/serving.json" "$load" first_token_p50
  expect "${TEST_TMPDIR}/serving.json" "$load" end_to_end_p99
  expect "${TEST_TMPDIR}/serving.json" "$load" bound_decode_steps
done
expect "${TEST_TMPDIR}/serving.json" "closed 4" times_concurrency_1
expect "${TEST_TMPDIR}/serving.json" "prefix 320" first_token_again
expect "${TEST_TMPDIR}/serving.json" "prefix 320" cached

# The same against a server, over two workers.
"$facet" serve --model="${TEST_TMPDIR}/tiny" --workers=2 --threads=1 \
  --http=off --grpc=127.0.0.1:0 --control=127.0.0.1:0 \
  > "${TEST_TMPDIR}/ready.txt" &
server=$!
for _ in $(seq 600); do
  [[ -s "${TEST_TMPDIR}/ready.txt" ]] && break
  sleep 0.1
done
address="$(sed -n 's/.*grpc=\([^ ]*\).*/\1/p' "${TEST_TMPDIR}/ready.txt")"
"$facet" bench "${serving[@]}" --server="$address" --concurrency=2 --rate=5 \
  --json > "${TEST_TMPDIR}/server.json"
kill -TERM "$server"
wait "$server" || fail "the server ended with $?"
grep -q "closed 2: too few answers" "${TEST_TMPDIR}/server.json" ||
  expect "${TEST_TMPDIR}/server.json" "closed 2" output_tokens_per_s
grep -q "open 5/s: too few answers" "${TEST_TMPDIR}/server.json" ||
  expect "${TEST_TMPDIR}/server.json" "open 5/s" next_token_p50
expect "${TEST_TMPDIR}/server.json" "prefix 320" cached

# Weights that are drawn when they are loaded are on no disk, and many workers
# draw the same ones.
for workers in 1 2; do
  "$facet" bench --synthetic="tiny-moe:${TEST_TMPDIR}/drawn-tiny" --drawn \
    --workers="$workers" --threads=1 "${small[@]}" --only=decode --json \
    > "${TEST_TMPDIR}/drawn.json"
  expect "${TEST_TMPDIR}/drawn.json" decode tokens_per_s
  "$facet" generate --model "${TEST_TMPDIR}/drawn-tiny" --prompt "the rain" \
    --workers="$workers" --max-tokens 8 --ignore-eos \
    > "${TEST_TMPDIR}/drawn-$workers.txt"
done
cmp "${TEST_TMPDIR}/drawn-1.txt" "${TEST_TMPDIR}/drawn-2.txt"
compgen -G "${TEST_TMPDIR}/drawn*/*.safetensors" && fail "weights were written"

# refuse FLAGS: exit code 2 and one line that says why.
refuse() {
  local status=0
  "$facet" bench "$@" 2> "${TEST_TMPDIR}/err.txt" > /dev/null || status=$?
  [[ "$status" == 2 ]] || fail "$*: exit code $status, expected 2"
  [[ "$(wc -l < "${TEST_TMPDIR}/err.txt")" == 1 ]] ||
    fail "$*: $(cat "${TEST_TMPDIR}/err.txt")"
}
refuse
refuse --model=/nonexistent
refuse --synthetic=no-such-preset
refuse --synthetic="$model" --model=/nonexistent
refuse --synthetic="$model" --only=decoding
refuse --model=/nonexistent --drawn
refuse --synthetic="$model" --device=cuda --only=context
refuse --synthetic="$model" --repeat=0
refuse --synthetic="$model" --batch=1000
refuse --server=127.0.0.1:1
refuse --serving --server=127.0.0.1:1 --synthetic="$model"
refuse --serving --synthetic="$model" --concurrency=0
refuse --serving --synthetic="$model" --rate=-1
refuse --serving --synthetic="$model" --only=decode
echo PASSED
