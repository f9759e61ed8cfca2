#!/usr/bin/env bash
# Installs from Debian 12's own archive what building and testing Facet needs
# and this machine lacks. Prints nothing when nothing is missing.
set -euo pipefail

packages=(
  ca-certificates git g++ iproute2 openssl
  python3 python3-grpcio python3-jinja2 python3-protobuf python3-yaml
  bazel-bootstrap bazel-skylib bazel-platforms bazel-rules-java
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev libgtest-dev libgmock-dev libssl-dev
  nlohmann-json3-dev libsimdjson-dev libcli11-dev
  libboost1.81-dev libhwloc-dev prometheus-cpp-dev
)

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ "$state" == ii* ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || {
    echo "facet: please install as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "facet: installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
