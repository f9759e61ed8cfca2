#include "runtime/checkpoint/safetensors_writer.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/checkpoint.h"

namespace facet {
namespace {

using testing::HasSubstr;

class SafetensorsWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
  }
  std::string Path() const { return directory_ + "/model.safetensors"; }

  std::string directory_;
};

std::vector<uint8_t> Pattern(int64_t bytes, int seed) {
  std::vector<uint8_t> result(bytes);
  for (int64_t i = 0; i < bytes; ++i) {
    result[i] = static_cast<uint8_t>(i * 31 + seed);
  }
  return result;
}

const std::vector<TensorSpec> kTensors = {
    {"odd", DType::kBF16, {3}},
    {"name with \"quotes\" and \xc3\xa9", DType::kF32, {2, 5}},
    {"empty", DType::kI32, {0, 4}},
    {"scalar", DType::kI32, {}},
};

void ExpectPatterns(const std::string& directory) {
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ((*checkpoint)->names().size(), kTensors.size());
  for (size_t i = 0; i < kTensors.size(); ++i) {
    const TensorView* view = (*checkpoint)->Find(kTensors[i].name);
    ASSERT_NE(view, nullptr) << kTensors[i].name;
    EXPECT_EQ(view->dtype, kTensors[i].dtype);
    EXPECT_EQ(view->shape, kTensors[i].shape);
    const std::vector<uint8_t> bytes(view->data, view->data + view->bytes);
    EXPECT_EQ(bytes, Pattern(NumBytes(kTensors[i]), static_cast<int>(i)));
  }
  // Data begins at a multiple of 8, which the mapping keeps.
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*checkpoint)->Find("odd")->data) % 8,
            0);
}

TEST_F(SafetensorsWriterTest, WhatWasAppendedIsReadBack) {
  auto writer = SafetensorsWriter::Create(Path(), kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<uint8_t> all;
  for (size_t i = 0; i < kTensors.size(); ++i) {
    const auto bytes = Pattern(NumBytes(kTensors[i]), static_cast<int>(i));
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  EXPECT_EQ((*writer)->data_bytes(), static_cast<int64_t>(all.size()));
  // Pieces of 7 bytes respect no tensor's border.
  for (size_t at = 0; at < all.size(); at += 7) {
    const size_t size = std::min<size_t>(7, all.size() - at);
    ASSERT_TRUE((*writer)->Append({all.data() + at, size}).ok());
  }
  ASSERT_TRUE((*writer)->Finish().ok());
  ExpectPatterns(directory_);
}

TEST_F(SafetensorsWriterTest, ThreadsMayFillTensorsInAnyOrder) {
  auto writer = SafetensorsWriter::Create(Path(), kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<std::thread> threads;
  for (size_t i = kTensors.size(); i-- > 0;) {
    threads.emplace_back([&, i] {
      const auto bytes = Pattern(NumBytes(kTensors[i]), static_cast<int>(i));
      for (size_t at = 0; at < bytes.size(); at += 3) {
        const size_t size = std::min<size_t>(3, bytes.size() - at);
        EXPECT_TRUE((*writer)->WriteAt(i, at, {bytes.data() + at, size}).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE((*writer)->Finish().ok());
  ExpectPatterns(directory_);
}

TEST_F(SafetensorsWriterTest, AnUnfinishedFileNeverShows) {
  {
    auto writer = SafetensorsWriter::Create(Path(), kTensors);
    ASSERT_TRUE(writer.ok());
    const uint8_t byte = 1;
    ASSERT_TRUE((*writer)->Append({&byte, 1}).ok());
    const absl::Status status = (*writer)->Finish();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr("1 bytes of tensors written"));
    EXPECT_FALSE(std::filesystem::exists(Path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(SafetensorsWriterTest, BytesOutsideTheDeclaredTensorsAreRefused) {
  auto writer = SafetensorsWriter::Create(Path(), kTensors);
  ASSERT_TRUE(writer.ok());
  const std::vector<uint8_t> many(100);
  EXPECT_FALSE((*writer)->Append(many).ok());
  EXPECT_FALSE((*writer)->WriteAt(0, 0, many).ok());
  EXPECT_FALSE((*writer)->WriteAt(0, -1, {many.data(), 1}).ok());
  EXPECT_FALSE((*writer)->WriteAt(0, 6, {many.data(), 1}).ok());
  EXPECT_FALSE((*writer)->WriteAt(4, 0, {many.data(), 1}).ok());
}

TEST_F(SafetensorsWriterTest, RefusalNamesTheTensor) {
  const auto twice = SafetensorsWriter::Create(
      Path(), {{"w", DType::kF32, {1}}, {"w", DType::kF32, {1}}});
  EXPECT_THAT(twice.status().message(), HasSubstr("\"w\" is declared twice"));
  const auto negative =
      SafetensorsWriter::Create(Path(), {{"w", DType::kF32, {-1}}});
  EXPECT_THAT(negative.status().message(), HasSubstr("found -1"));
  const auto nowhere = SafetensorsWriter::Create("/no/such/file", {});
  EXPECT_THAT(nowhere.status().message(), HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace facet
