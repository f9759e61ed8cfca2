#!/usr/bin/env bash
# Runs the unit tests under AddressSanitizer, UndefinedBehaviorSanitizer and
# ThreadSanitizer, each in an output base of its own so that none throws the
# others' builds away.
#
#   tests/sanitizers.sh             all three
#   tests/sanitizers.sh tsan        one of them
set -uo pipefail
cd "$(dirname "$0")/.."

bash deploy/install_packages.sh || exit 1
sanitizers=("$@")
[[ ${#sanitizers[@]} -eq 0 ]] && sanitizers=(asan ubsan tsan)
base=${FACET_OUTPUT_BASE:-$HOME/.cache/facet-sanitizers}

failed=0
for sanitizer in "${sanitizers[@]}"; do
  echo "sanitizers: $sanitizer"
  bazel --output_base="$base/$sanitizer" test --config="$sanitizer" \
    --symlink_prefix=/ --keep_going --test_tag_filters=-no-sanitizer \
    --test_timeout=120,600,1800,3600 -- \
    //kernels/... //runtime/... //scheduler/... || failed=1
  bazel --output_base="$base/$sanitizer" shutdown
done
exit $failed
