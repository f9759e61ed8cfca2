#include "runtime/checkpoint/checkpoint.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors_writer.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }

  std::string Path(const std::string& name) const {
    return directory_ + "/" + name;
  }

  // A file with U8 tensors of `bytes` each, filled with `fill`.
  void WriteShard(const std::string& name, std::vector<std::string> tensors,
                  int64_t bytes = 16, uint8_t fill = 7) {
    std::vector<TensorSpec> specs;
    for (std::string& tensor : tensors) {
      specs.push_back({std::move(tensor), DType::kU8, {bytes}});
    }
    auto writer = SafetensorsWriter::Create(Path(name), specs);
    ASSERT_TRUE(writer.ok()) << writer.status();
    const std::vector<uint8_t> data(bytes * specs.size(), fill);
    ASSERT_TRUE((*writer)->Append(data).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  void WriteIndex(const std::string& weight_map) {
    std::ofstream(Path("model.safetensors.index.json"))
        << "{\"metadata\":{},\"weight_map\":" << weight_map << "}";
  }

  absl::Status Refusal(absl::StatusCode code) {
    const absl::Status status = Checkpoint::Open(directory_).status();
    EXPECT_EQ(status.code(), code) << status;
    return status;
  }

  std::string directory_;
};

TEST_F(CheckpointTest, ShardsOfAnIndexMakeOneCheckpoint) {
  WriteShard("model-00001-of-00002.safetensors", {"a", "b"}, 16, 1);
  WriteShard("model-00002-of-00002.safetensors", {"c"}, 8, 2);
  WriteShard("stray.safetensors", {"a", "z"});
  WriteIndex(R"({"a":"model-00001-of-00002.safetensors",
                 "b":"model-00001-of-00002.safetensors",
                 "c":"model-00002-of-00002.safetensors"})");
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT((*checkpoint)->names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ((*checkpoint)->total_bytes(), 40);
  EXPECT_EQ((*checkpoint)->Find("z"), nullptr);
  const TensorView* c = (*checkpoint)->Find("c");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->name, "c");
  EXPECT_EQ(c->bytes, 8);
  EXPECT_EQ(c->data[7], 2);
  EXPECT_THAT(c->file, HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(CheckpointTest, WithoutIndexEveryFileCounts) {
  WriteShard("one.safetensors", {"a"});
  WriteShard("two.safetensors", {"b"});
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT((*checkpoint)->names(), ElementsAre("a", "b"));
}

TEST_F(CheckpointTest, ModelSafetensorsStandsForTheWholeModel) {
  WriteShard("model.safetensors", {"a"});
  WriteShard("consolidated.safetensors", {"a", "b"});
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT((*checkpoint)->names(), ElementsAre("a"));
}

TEST_F(CheckpointTest, NothingToOpenIsNotFound) {
  EXPECT_THAT(Refusal(absl::StatusCode::kNotFound).message(),
              HasSubstr("expected *.safetensors, found none"));
  EXPECT_THAT(Checkpoint::Open("/no/such").status().message(),
              HasSubstr("/no/such: expected a directory"));
  WriteShard("model.safetensors", {"a"});
  EXPECT_THAT(Checkpoint::Open(Path("model.safetensors")).status().message(),
              HasSubstr("found a file"));
}

TEST_F(CheckpointTest, AMissingShardIsNamedTogetherWithTheIndex) {
  WriteIndex(R"({"a":"model-00001-of-00001.safetensors"})");
  const absl::Status status = Refusal(absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("model.safetensors.index.json"));
  EXPECT_THAT(status.message(), HasSubstr("model-00001-of-00001"));
}

TEST_F(CheckpointTest, AnIndexAtOddsWithItsShardsIsRefused) {
  WriteShard("1.safetensors", {"a"});
  WriteShard("2.safetensors", {"b"});
  WriteIndex(R"({"a":"1.safetensors","c":"2.safetensors"})");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
              HasSubstr("tensor \"c\": expected in 2.safetensors, found "
                        "nowhere"));
  WriteIndex(R"({"a":"2.safetensors","b":"1.safetensors"})");
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
              HasSubstr("tensor \"a\": expected in 2.safetensors, found in "));
}

TEST_F(CheckpointTest, AnIndexCannotLeadOutOfItsDirectory) {
  for (const char* file :
       {"\"../other.safetensors\"", "\"/etc/passwd\"", "\"\"", "3", "null"}) {
    WriteIndex(absl::StrCat("{\"a\":", file, "}"));
    EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
                HasSubstr("weight_map.a"));
  }
  for (const char* map : {"{}", "[]", "3", "{"}) {
    WriteIndex(map);
    EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
                HasSubstr("model.safetensors.index.json"));
  }
}

TEST_F(CheckpointTest, ATensorInTwoShardsIsRefused) {
  WriteShard("1.safetensors", {"a", "b"});
  WriteShard("2.safetensors", {"b"});
  const absl::Status status = Refusal(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("2.safetensors: tensor \"b\" is "
                                          "also in "));
  EXPECT_THAT(status.message(), HasSubstr("1.safetensors"));
}

TEST_F(CheckpointTest, ATruncatedFileIsNamed) {
  WriteShard("model.safetensors", {"a"});
  const auto size = fs::file_size(Path("model.safetensors"));
  for (const size_t keep :
       {size - 1, size - 16, size_t{9}, size_t{8}, size_t{7}, size_t{0}}) {
    fs::resize_file(Path("model.safetensors"), keep);
    EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
                HasSubstr("model.safetensors: "))
        << keep;
  }
}

TEST_F(CheckpointTest, AShardThatIsNoFileIsRefused) {
  fs::create_directories(Path("model.safetensors"));
  EXPECT_THAT(Refusal(absl::StatusCode::kInvalidArgument).message(),
              HasSubstr("expected a regular file"));
}

TEST_F(CheckpointTest, PrefaultReportsProgressUpToTheTotal) {
  WriteShard("model.safetensors", {"a", "b"}, (40 << 20) + 3);
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const TensorView* a = (*checkpoint)->Find("a");
  const TensorView* b = (*checkpoint)->Find("b");
  for (const int threads : {1, 2, 5}) {
    int64_t last = -1, of = -2;
    const absl::Status status =
        Prefault({{a->data, a->bytes}, {nullptr, 0}, {b->data + 1, 1}}, threads,
                 [&](int64_t done, int64_t total) {
                   EXPECT_GE(done, last);
                   EXPECT_LE(done, total);
                   last = done;
                   of = total;
                 });
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(last, of);
    EXPECT_GE(of, static_cast<int64_t>(a->bytes));
  }
  EXPECT_TRUE(Prefault({}, 2, nullptr).ok());
}

TEST_F(CheckpointTest, PrefaultTellsOfAFileThatBecameShorter) {
  WriteShard("model.safetensors", {"a"}, 1 << 20);
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const TensorView* a = (*checkpoint)->Find("a");
  fs::resize_file(Path("model.safetensors"), 1 << 16);
  const absl::Status status = Prefault({{a->data, a->bytes}}, 2, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

}  // namespace
}  // namespace facet
