#include "rpc/access/api_keys.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr char kAlice[] = "sk-alice-0123456789";

std::string ErrorOf(const std::string& json) {
  const auto keys = ApiKeys::Parse(json);
  EXPECT_EQ(keys.status().code(), absl::StatusCode::kInvalidArgument) << json;
  return std::string(keys.status().message());
}

TEST(ApiKeysTest, AKeyIsFoundAsItselfAndByItsDigest) {
  const KeyDigest digest = DigestOf("sk-bob-0123456789ab");
  const std::string hex = absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(digest.data()), digest.size()));
  const auto keys = ApiKeys::Parse(
      absl::StrCat(R"({"keys": [{"name": "alice", "key": ")", kAlice,
                   R"(", "requests_per_minute": 1.5, "concurrent_requests": 4},
         {"name": "bob", "sha256": ")",
                   hex, R"("}]})"));
  ASSERT_TRUE(keys.ok()) << keys.status();
  const ApiKey* const alice = keys->Find(kAlice);
  ASSERT_NE(alice, nullptr);
  EXPECT_EQ(alice->name, "alice");
  EXPECT_EQ(alice->requests_per_minute, 1.5);
  EXPECT_EQ(alice->concurrent_requests, 4);
  ASSERT_NE(keys->Find("sk-bob-0123456789ab"), nullptr);
  EXPECT_EQ(keys->Find("sk-bob-0123456789ab")->name, "bob");
  for (const char* wrong : {"", "sk-alice-012345678", "sk-alice-01234567890"}) {
    EXPECT_EQ(keys->Find(wrong), nullptr) << wrong;
  }
  EXPECT_EQ(keys->Find(hex), nullptr) << "a digest is no key";
}

TEST(ApiKeysTest, DigestsAreSha256) {
  const KeyDigest digest = DigestOf("abc");
  EXPECT_EQ(absl::BytesToHexString(absl::string_view(
                reinterpret_cast<const char*>(digest.data()), digest.size())),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(ApiKeysTest, RefusalsNameThePlaceAndNeverTheKey) {
  const std::string key = R"("key": "sk-alice-0123456789")";
  const std::pair<std::string, std::string> kCases[] = {
      {"", "keys"},
      {"[]", "keys"},
      {R"({"keys": 1})", "keys"},
      {R"({"keys": [1]})", "keys[0]"},
      {R"({"keys": [{"name": "a"}]})", "keys[0]"},
      {absl::StrCat(R"({"keys": [{)", key, "}]}"), "keys[0]"},
      {R"({"keys": [{"name": "a", "key": "short"}]})", "keys[0].key"},
      {R"({"keys": [{"name": "a", "sha256": "00"}]})", "keys[0].sha256"},
      {absl::StrCat(R"({"keys": [{"name": "a", "limit": 3, )", key, "}]}"),
       "keys[0].limit"},
      {absl::StrCat(R"({"keys": [{"name": "a", "requests_per_minute": 0, )",
                    key, "}]}"),
       "keys[0].requests_per_minute"},
      {absl::StrCat(R"({"keys": [{"name": "a", "concurrent_requests": 1.5, )",
                    key, "}]}"),
       "keys[0].concurrent_requests"},
      {absl::StrCat(R"({"keys": [{"name": "a", )", key, R"(}, {"name": "b", )",
                    key, "}]}"),
       "keys[1]"},
  };
  for (const auto& [json, place] : kCases) {
    const std::string error = ErrorOf(json);
    EXPECT_TRUE(absl::StrContains(error, place)) << json << ": " << error;
    EXPECT_FALSE(absl::StrContains(error, "sk-alice")) << error;
    EXPECT_FALSE(absl::StrContains(error, "short\"")) << error;
  }
}

}  // namespace
}  // namespace facet
