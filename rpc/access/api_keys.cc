#include "rpc/access/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

using Json = nlohmann::json;

constexpr size_t kMinKeyBytes = 16;
constexpr size_t kMaxKeys = 10000;
constexpr double kMaxLimit = 1e6;

absl::Status Wrong(const std::string& place, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(place, ": ", what));
}

absl::Status ReadText(const Json& from, const std::string& place,
                      std::string* to) {
  if (!from.is_string() || from.get_ref<const std::string&>().empty()) {
    return Wrong(place, "expected a text that is not empty");
  }
  *to = from.get<std::string>();
  return absl::OkStatus();
}

absl::Status ReadLimit(const Json& from, const std::string& place, double* to) {
  if (!from.is_number() || !(from.get<double>() > 0) ||
      from.get<double>() > kMaxLimit) {
    return Wrong(place,
                 "expected a number above 0, up to 1000000; leave it "
                 "out for no limit");
  }
  *to = from.get<double>();
  return absl::OkStatus();
}

absl::Status ReadDigest(const Json& from, const std::string& place,
                        KeyDigest* to) {
  std::string hex;
  FACET_RETURN_IF_ERROR(ReadText(from, place, &hex));
  const bool digits =
      hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (hex.size() != 2 * to->size() || !digits) {
    return Wrong(place, "expected 64 hexadecimal digits");
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), to->begin());
  return absl::OkStatus();
}

absl::StatusOr<ApiKey> ReadKey(const Json& from, const std::string& place) {
  if (!from.is_object()) return Wrong(place, "expected an object");
  ApiKey key;
  bool has_key = false;
  for (const auto& [field, value] : from.items()) {
    const std::string where = absl::StrCat(place, ".", field);
    if (field == "name") {
      FACET_RETURN_IF_ERROR(ReadText(value, where, &key.name));
    } else if (field == "key" || field == "sha256") {
      if (has_key) return Wrong(place, "give either key or sha256");
      has_key = true;
      if (field == "sha256") {
        FACET_RETURN_IF_ERROR(ReadDigest(value, where, &key.digest));
        continue;
      }
      std::string text;
      FACET_RETURN_IF_ERROR(ReadText(value, where, &text));
      if (text.size() < kMinKeyBytes) {
        return Wrong(where, absl::StrCat("shorter than ", kMinKeyBytes,
                                         " characters; longer keys cannot be "
                                         "guessed"));
      }
      key.digest = DigestOf(text);
    } else if (field == "requests_per_minute") {
      FACET_RETURN_IF_ERROR(ReadLimit(value, where, &key.requests_per_minute));
    } else if (field == "concurrent_requests") {
      double limit = 0;
      FACET_RETURN_IF_ERROR(ReadLimit(value, where, &limit));
      if (limit != std::floor(limit)) return Wrong(where, "not whole");
      key.concurrent_requests = static_cast<int>(limit);
    } else {
      return Wrong(where,
                   "unknown field, known are name, key, sha256, "
                   "requests_per_minute, concurrent_requests");
    }
  }
  if (key.name.empty()) return Wrong(place, "name is missing");
  if (!has_key) return Wrong(place, "key or sha256 is missing");
  return key;
}

}  // namespace

KeyDigest DigestOf(absl::string_view key) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const uint8_t*>(key.data()), key.size(),
         digest.data());
  return digest;
}

absl::StatusOr<ApiKeys> ApiKeys::Parse(absl::string_view json) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!root.is_object() || root.size() != 1 || !root.contains("keys") ||
      !root["keys"].is_array()) {
    return absl::InvalidArgumentError(
        "expected {\"keys\": [...]}, a list of keys");
  }
  const Json& list = root["keys"];
  if (list.size() > kMaxKeys) {
    return Wrong("keys",
                 absl::StrCat(list.size(), " keys, at most ", kMaxKeys));
  }
  ApiKeys result;
  std::set<std::string> names;
  std::set<KeyDigest> digests;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = absl::StrCat("keys[", i, "]");
    FACET_ASSIGN_OR_RETURN(ApiKey key, ReadKey(list[i], place));
    if (!names.insert(key.name).second) {
      return Wrong(place, "an earlier key has the same name");
    }
    if (!digests.insert(key.digest).second) {
      return Wrong(place, "an earlier entry is the same key");
    }
    result.keys_.push_back(std::move(key));
  }
  return result;
}

const ApiKey* ApiKeys::Find(absl::string_view presented) const {
  const KeyDigest digest = DigestOf(presented);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    const bool same =
        CRYPTO_memcmp(digest.data(), key.digest.data(), digest.size()) == 0;
    found = same ? &key : found;
  }
  return found;
}

}  // namespace facet
