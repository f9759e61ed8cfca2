#include "runtime/comm/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

Mac LabelledMac(absl::string_view label, const std::string& world_key,
                const Hello& hello, const Nonce& nonce) {
  std::string text(label.data(), label.size());
  text.append(reinterpret_cast<const char*>(&hello), sizeof(hello));
  text.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  Mac mac;
  unsigned size = 0;
  const uint8_t* done =
      HMAC(EVP_sha256(), world_key.data(), static_cast<int>(world_key.size()),
           reinterpret_cast<const uint8_t*>(text.data()), text.size(),
           mac.data(), &size);
  FACET_CHECK(done != nullptr && size == mac.size());
  return mac;
}

}  // namespace

absl::StatusOr<Nonce> RandomNonce() {
  Nonce nonce;
  if (RAND_bytes(nonce.data(), nonce.size()) != 1) {
    return absl::InternalError("the system gives no random numbers");
  }
  return nonce;
}

Mac AcceptorMac(const std::string& world_key, const Hello& hello,
                const Nonce& acceptor_nonce) {
  return LabelledMac("facet accept", world_key, hello, acceptor_nonce);
}

Mac ConnectorMac(const std::string& world_key, const Hello& hello,
                 const Nonce& acceptor_nonce) {
  return LabelledMac("facet connect", world_key, hello, acceptor_nonce);
}

bool SameMac(const Mac& a, const Mac& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace facet
