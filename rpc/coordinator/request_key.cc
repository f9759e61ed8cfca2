#include "rpc/coordinator/request_key.h"

#include <openssl/sha.h>

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace facet {
namespace {

constexpr size_t kMaxKeyBytes = 255;

std::string Sha256(absl::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

}  // namespace

absl::Status CheckRequestKey(absl::string_view key, absl::string_view field) {
  bool visible = true;
  for (const char c : key) {
    visible &= absl::ascii_isgraph(static_cast<unsigned char>(c));
  }
  if (visible && !key.empty() && key.size() <= kMaxKeyBytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": expected 1 to ", kMaxKeyBytes,
                   " visible ASCII characters, found ", key.size(),
                   visible ? " bytes" : " bytes with others among them"));
}

std::string RequestDigest(absl::Span<const absl::string_view> parts) {
  std::string digests;
  for (const absl::string_view part : parts) digests += Sha256(part);
  return Sha256(digests);
}

std::string KeyedId(absl::string_view prefix, const RequestKey& key,
                    int number) {
  const std::string digest = RequestDigest(
      {prefix, key.owner, key.key, key.body, absl::StrCat(number)});
  return absl::StrCat(prefix, absl::BytesToHexString(digest.substr(0, 12)));
}

}  // namespace facet
