#include "rpc/control/build_id.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"

namespace facet {

absl::StatusOr<std::string> BuildId() {
  const char* given = std::getenv("FACET_BUILD_ID");
  if (given != nullptr && *given != '\0') return std::string(given);

  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool ok = file.good() && context != nullptr &&
            EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<char> buffer(1 << 20);
  while (ok && file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    ok = EVP_DigestUpdate(context.get(), buffer.data(), file.gcount()) == 1;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ok = ok && file.eof() &&
       EVP_DigestFinal_ex(context.get(), digest, &size) == 1 && size >= 8;
  if (!ok) {
    return absl::InternalError("cannot hash /proc/self/exe for the build id");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), 8));
}

}  // namespace facet
