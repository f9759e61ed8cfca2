#include "rpc/cli/byte_size.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(ByteSizeTest, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*ParseByteSize("4096"), 4096);
  EXPECT_EQ(*ParseByteSize("512M"), int64_t{512} << 20);
  EXPECT_EQ(*ParseByteSize("2G"), int64_t{2} << 30);
  EXPECT_EQ(*ParseByteSize("1.5gib"), int64_t{3} << 29);
  EXPECT_EQ(*ParseByteSize("3KB"), 3072);
}

TEST(ByteSizeTest, RefusesEverythingElse) {
  for (const char* text : {"", "G", "-1", "0", "1X", "ten", "1e40", "nan",
                           "12 G B", "5iB", "inf"}) {
    EXPECT_EQ(ParseByteSize(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ByteSizeTest, FormatsInTheLargestUnitThatFits) {
  EXPECT_EQ(FormatByteSize(0), "0 B");
  EXPECT_EQ(FormatByteSize(1023), "1023 B");
  EXPECT_EQ(FormatByteSize(1536), "1.50 KiB");
  EXPECT_EQ(FormatByteSize(int64_t{62} << 30), "62.0 GiB");
}

}  // namespace
}  // namespace facet
