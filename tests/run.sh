#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test.
#
#   tests/run.sh                 all tests, optimised build
#   tests/run.sh //kernels/...   some of them
#
# Ends with "N passed, N failed", counted from what the tests reported.
set -uo pipefail
cd "$(dirname "$0")/.."

bash deploy/install_packages.sh || exit 1
targets=("$@")
[[ ${#targets[@]} -eq 0 ]] && targets=(//...)

bazel build //:facet || exit 1
bazel test --keep_going --build_event_text_file=bazel-events.txt \
  "${targets[@]}"
status=$?
python3 tests/count_results.py bazel-events.txt
counted=$?
rm -f bazel-events.txt
[[ $status -eq 0 && $counted -eq 0 ]]
