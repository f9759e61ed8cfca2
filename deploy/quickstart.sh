#!/usr/bin/env bash
# From a fresh Debian 12 machine to streaming answers: installs what is missing,
# builds Facet, starts a coordinator and two workers with the demo model, asks
# four things and shows the answers as they arrive.
#
#   deploy/quickstart.sh          ask, then stop
#   deploy/quickstart.sh --stay   ask, then keep serving until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

stay=0
case "${1:-}" in
  "") ;;
  --stay) stay=1 ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/3  Building Facet (a few minutes the first time)"
bash deploy/install_packages.sh
bazel build //:facet
facet=bazel-bin/rpc/cli/facet
model=deploy/demo-model

say "2/3  Starting a coordinator and two workers with the demo model"
# Fixed ports only for a server that stays; a passing one takes free ports.
http=127.0.0.1:0
grpc=127.0.0.1:0
control=127.0.0.1:0
if [[ $stay -eq 1 ]]; then
  http=127.0.0.1:8000
  grpc=127.0.0.1:8001
  control=127.0.0.1:8002
fi
ready=$(mktemp)
"$facet" serve --model "$model" --workers=2 --http="$http" \
  --grpc="$grpc" --control="$control" >"$ready" &
server=$!
stop() {
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -f "$ready"
}
trap stop EXIT

for _ in $(seq 600); do
  grep -q '^ready ' "$ready" && break
  kill -0 "$server" 2>/dev/null || {
    echo "quickstart: the server did not start; its message is above" >&2
    exit 1
  }
  sleep 0.1
done
address=$(sed -n 's/^ready .*grpc=\([^ ]*\).*/\1/p' "$ready")
[[ -n "$address" ]] || {
  echo "quickstart: the server was not ready within a minute" >&2
  exit 1
}
cat "$ready"

say "3/3  Four questions"
ask() {  # the question, then flags of `facet chat`
  local question=$1
  shift
  printf '\n\033[36m> %s\033[0m\n' "$question"
  printf '%s\n' "$question" |
    "$facet" chat --server="$address" --temperature=0 "$@"
}
ask "What is Facet?"
ask "What is 47 + 38?" --think
ask "What is the weather in Lisbon?" --tools=deploy/demo-tools.json
ask "Write a limerick about a cat."

say "It works. What to type next"
cat <<EOF
  $facet chat --model $model                       talk to it, without a server
  $facet plan --model $model --tp 2                who holds what
  $facet generate --model $model --prompt "Facet is" --max-tokens 20
  $facet serve --model /path/to/gemma-4 --workers 2   your own checkpoint
  $facet --help                                    everything else
The demo model knows a few hundred sentences; see $model/README.md.
EOF

if [[ $stay -eq 1 ]]; then
  say "Serving on $address until Ctrl-C:  $facet chat --server=$address"
  trap 'stop; exit 0' INT TERM
  wait "$server"
fi
