#include "runtime/checkpoint/safetensors.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Length, header and `data_bytes` zeros.
std::string File(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) {
    file[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  return file + header + std::string(data_bytes, '\0');
}

constexpr char kGood[] =
    R"({"__metadata__":{"format":"pt"},)"
    R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},)"
    R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
    R"("scalar":{"shape":[],"data_offsets":[28,36],"dtype":"I64"},)"
    R"("none":{"dtype":"U8","shape":[0,9],"data_offsets":[36,36]}}   )";
constexpr size_t kGoodData = 36;

std::string RefusalOf(const std::string& file) {
  const auto entries = ParseSafetensors(file);
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(entries.status().message());
}

TEST(SafetensorsTest, EntriesComeInOrderOfTheirPlaceInTheFile) {
  const auto entries = ParseSafetensors(File(kGood, kGoodData));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 4);
  const uint64_t data = 8 + sizeof(kGood) - 1;
  const SafetensorsEntry& a = (*entries)[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::kBF16);
  EXPECT_THAT(a.shape, ElementsAre(2));
  EXPECT_EQ(a.begin, data);
  const SafetensorsEntry& b = (*entries)[1];
  EXPECT_EQ(b.dtype, DType::kF32);
  EXPECT_THAT(b.shape, ElementsAre(2, 3));
  EXPECT_EQ(b.begin, data + 4);
  EXPECT_EQ(b.end, data + 28);
  EXPECT_EQ((*entries)[2].name, "scalar");
  EXPECT_TRUE((*entries)[2].shape.empty());
  EXPECT_EQ((*entries)[3].begin, (*entries)[3].end);
}

TEST(SafetensorsTest, AFileCutAnywhereIsRefused) {
  const std::string good = File(kGood, kGoodData);
  for (size_t length = 0; length < good.size(); ++length) {
    RefusalOf(good.substr(0, length));
  }
  RefusalOf(good + '\0');
}

TEST(SafetensorsTest, RefusalNamesTensorExpectedAndFound) {
  struct Case {
    std::string header;
    size_t data_bytes;
    std::vector<std::string> expected;
  };
  const auto one = [](const std::string& fields) {
    return absl::StrCat("{\"w\":{", fields, "}}");
  };
  const std::vector<Case> cases = {
      {"", 0, {"not a JSON object"}},
      {"[]", 0, {"not a JSON object"}},
      {"{\"w\":", 0, {"not a JSON object"}},
      {"{}", 1, {"1 bytes of data, expected 0"}},
      {"{\"w\":3}", 0, {"tensor \"w\"", "expected an object"}},
      {one(R"("dtype":"F64","shape":[1],"data_offsets":[0,8])"),
       8,
       {"tensor \"w\"", "dtype", "F32, BF16", "found \"F64\""}},
      {one(R"("dtype":1,"shape":[1],"data_offsets":[0,8])"),
       8,
       {"dtype: expected a string"}},
      {one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"),
       4,
       {"shape: expected"}},
      {one(R"("dtype":"F32","shape":1,"data_offsets":[0,4])"),
       4,
       {"shape: expected a list"}},
      {one(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"),
       4,
       {"shape: expected"}},
      {one(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])"),
       4,
       {"at most 8"}},
      {one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"),
       4,
       {"[0, 4) hold 4 bytes, expected 8 for F32 of shape [2]"}},
      {one(R"("dtype":"F32","shape":[4294967296,4294967296],)"
           R"("data_offsets":[0,0])"),
       4,
       {"expected more than 2^62"}},
      {one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"),
       4,
       {"within the 4 bytes of data"}},
      {one(R"("dtype":"F32","shape":[1],"data_offsets":[8,4])"), 8, {"[8, 4)"}},
      {one(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])"),
       8,
       {"two integers"}},
      {one(R"("dtype":"F32","shape":[1],"data_offsets":[0])"),
       4,
       {"two integers"}},
      {one(R"("dtype":"F32","shape":[1])"), 4, {"lacks data_offsets"}},
      {one(R"("dtype":"F32","dtype":"F32","shape":[1])"), 4, {"once each"}},
      {R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2,
       {"tensor \"w\" is there twice"}},
      {R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3,
       {"tensor \"w\"", "overlap", "ends at 2"}},
      {R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("w":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
       5,
       {"tensor \"w\"", "begin at 3, expected 2"}},
  };
  for (const Case& c : cases) {
    const std::string message = RefusalOf(File(c.header, c.data_bytes));
    for (const std::string& part : c.expected) {
      EXPECT_THAT(message, HasSubstr(part)) << c.header;
    }
  }
}

TEST(SafetensorsTest, ALyingHeaderLengthAllocatesNothing) {
  std::string file = File(kGood, kGoodData);
  for (const uint64_t length :
       {uint64_t{100'000'001}, uint64_t{1} << 40, ~uint64_t{0}}) {
    for (int i = 0; i < 8; ++i) {
      file[i] = static_cast<char>(length >> (8 * i) & 0xff);
    }
    EXPECT_THAT(RefusalOf(file), HasSubstr("header length"));
  }
}

// Whatever is accepted after damage lies inside the file and tiles it.
TEST(SafetensorsTest, RandomDamageIsRefusedOrHarmless) {
  std::mt19937 random(20240608);
  static constexpr char kAlphabet[] = "0123456789-.eE\"{}[],:dFBIU \\\xff";
  const std::string good = File(kGood, kGoodData);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string file = good;
    const int edits = 1 + static_cast<int>(random() % 3);
    for (int e = 0; e < edits; ++e) {
      const size_t at = random() % file.size();
      const char byte = kAlphabet[random() % (sizeof(kAlphabet) - 1)];
      switch (random() % 4) {
        case 0:
          file[at] = static_cast<char>(random());
          break;
        case 1:
          file[at] = byte;
          break;
        case 2:
          // Inside the header, with a length that still fits.
          file.insert(8 + at % sizeof(kGood), 1, byte);
          file[0] = static_cast<char>(file[0] + 1);
          break;
        default:
          file.erase(at, 1 + random() % 8);
      }
      if (file.empty()) break;
    }
    const auto entries = ParseSafetensors(file);
    if (!entries.ok()) continue;
    ++accepted;
    uint64_t end = entries->empty() ? file.size() : entries->front().begin;
    for (const SafetensorsEntry& entry : *entries) {
      ASSERT_EQ(entry.begin, end);
      end = entry.end;
    }
    ASSERT_EQ(end, file.size());
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 19900);
}

}  // namespace
}  // namespace facet
