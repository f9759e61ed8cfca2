#!/bin/sh
# Faults for hours: chaos on every topology, with children and over a network,
# each round with another seed, and users of every kind between the rounds.
# Stops at the first thing that is not as it should be.
#
#   tests/soak/overnight.sh HOURS [DIRECTORY FOR LOGS]
set -eu
hours=${1:?usage: overnight.sh HOURS [DIRECTORY]}
logs=${2:-$(mktemp -d)}
cd "$(dirname "$0")/../.."
bazel build -c opt //tests/chaos //tests/soak
chaos=$(readlink -f bazel-bin/tests/chaos/chaos)
soak=$(readlink -f bazel-bin/tests/soak/soak)
end=$(($(date +%s) + $(awk "BEGIN { print int($hours * 3600) }")))
mkdir -p "$logs"
echo "logs: $logs"

# With the data that bazel put beside it.
run() {
  binary=$1
  log=$logs/$2
  shift 2
  if ! (cd "$binary.runfiles/facet" && exec "$binary" "$@") > "$log" 2>&1; then
    tail -n 30 "$log"
    echo "FAILED: $* (all of it: $log)"
    exit 1
  fi
  echo "$(date '+%F %T') $* passed"
  grep -E '^(detection|recovery) *all|^[0-9]+ answers' "$log" || true
}

seed=1
while [ "$(date +%s)" -lt "$end" ]; do
  for topology in "--tp=2" "--pp=2" "--tp=2 --pp=2"; do
    for network in "" "--network --skip-forbidden" \
      "--network --skip-forbidden --spares=0 --shrink-after=2"; do
      [ "$(date +%s)" -lt "$end" ] || break 3
      # shellcheck disable=SC2086
      run "$chaos" "chaos-$seed$(echo "$topology$network" | tr -d ' ')" \
        $topology $network --faults=100 --seed=$seed
    done
  done
  run "$soak" "soak-$seed" --minutes=10 --seed=$seed
  seed=$((seed + 1))
done
echo "passed, $((seed - 1)) whole rounds"
