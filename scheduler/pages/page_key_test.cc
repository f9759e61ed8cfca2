#include "scheduler/pages/page_key.h"

#include <cstdio>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

std::string Hex(const PageKey& key) {
  std::string hex;
  for (const uint8_t byte : key.bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    hex += digits;
  }
  return hex;
}

TEST(PageKeyTest, IsTheSha256OfParentAndTokens) {
  EXPECT_EQ(Hex(RootPageKey("abc")),  // FIPS 180-2, appendix B.1
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // hashlib.sha256(hashlib.sha256(b"").digest() +
  //                struct.pack("<3i", 1, 2, 300000)).hexdigest()
  EXPECT_EQ(Hex(ChildPageKey(RootPageKey(""), {1, 2, 300000})),
            "d21d76173636b566695053ec805b5462752e1e28a30bbb4c25c942e9ef0a8a76");
}

TEST(PageKeyTest, DependsOnSaltOrderAndAllThatCameBefore) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6};
  const std::vector<int32_t> other_start = {9, 2, 3, 4, 5, 6};
  const std::vector<int32_t> swapped = {1, 2, 4, 3, 5, 6};
  PageKeys keys("a");
  PageKeys salted("b");
  PageKeys others("a");
  PageKeys swap("a");
  const PageKey last = keys.Of(2, tokens, 2);
  EXPECT_FALSE(last == salted.Of(2, tokens, 2));
  EXPECT_FALSE(last == others.Of(2, other_start, 2));
  EXPECT_FALSE(last == swap.Of(2, swapped, 2));
  EXPECT_EQ(keys.Of(0, tokens, 2), swap.Of(0, swapped, 2));
}

TEST(PageKeyTest, GrowsWithTheSequenceToTheSameKeys) {
  std::vector<int32_t> tokens;
  PageKeys step_by_step("");
  for (int32_t i = 0; i < 40; ++i) {
    tokens.push_back(i * i);
    if (tokens.size() % 4 == 0) {
      step_by_step.Of(static_cast<int64_t>(tokens.size()) / 4 - 1, tokens, 4);
    }
  }
  PageKeys at_once("");
  EXPECT_EQ(at_once.Of(9, tokens, 4), step_by_step.Of(9, tokens, 4));
  EXPECT_EQ(at_once.Of(3, tokens, 4), step_by_step.Of(3, tokens, 4));
}

}  // namespace
}  // namespace facet
