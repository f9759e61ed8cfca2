#!/bin/sh
# Makes the certificates of one cluster: an authority of its own, and of each
# role one certificate that it has signed. Run it again to add roles or renew;
# the authority stays.
#
#   deploy/certificates/make_certificates.sh DIR [DAYS]
#
# DIR then holds ca.crt, ca.key, coordinator.crt, coordinator.key, worker.crt and
# worker.key. Give the coordinator and each worker ca.crt and their own pair
# alone; keep ca.key where no server runs.
set -eu

dir=${1:?usage: make_certificates.sh DIR [DAYS]}
days=${2:-365}
umask 077
mkdir -p "$dir"
cd "$dir"

if [ ! -f ca.key ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -sha256 -days 3650 -out ca.crt \
    -subj "/CN=facet cluster authority" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"
fi

# role, extended key usage
issue() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=facet-$1" -out "$1.csr"
  cat > "$1.ext" <<EOF
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=$2
subjectAltName=DNS:facet-$1
EOF
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial \
    -sha256 -days "$days" -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
}

# A worker's certificate cannot pass for the coordinator's, nor the other way
# round.
issue coordinator serverAuth
issue worker clientAuth
chmod 644 ca.crt coordinator.crt worker.crt
