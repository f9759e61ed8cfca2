#include "runtime/checkpoint/synthetic.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/text_tensors.h"
#include "runtime/config/model_config.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

using testing::HasSubstr;

std::string FreshDirectory(const std::string& name) {
  const std::string directory = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(directory);
  return directory;
}

double DeviationOf(const TensorView& view) {
  double sum = 0;
  for (size_t at = 0; at < view.bytes; at += sizeof(BF16)) {
    BF16 value;
    std::memcpy(&value, view.data + at, sizeof(value));
    sum += static_cast<double>(ToFloat(value)) * ToFloat(value);
  }
  return std::sqrt(sum / static_cast<double>(view.bytes / sizeof(BF16)));
}

class SyntheticTest : public testing::TestWithParam<const char*> {};

TEST_P(SyntheticTest, WhatIsWrittenOpensAsACheckpointOfItsConfig) {
  const std::string directory = FreshDirectory(GetParam());
  int64_t done = 0, total = -1;
  const absl::Status status =
      WriteSynthetic(GetParam(), directory, SyntheticWeights::kWritten,
                     [&](int64_t d, int64_t t) {
                       EXPECT_GE(d, done);
                       done = d;
                       total = t;
                     });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(done, total);

  const auto model = ReadModelConfig(directory);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->total_bytes(), total);
  const std::vector<TensorSpec> tensors = TextTensors(*model);
  EXPECT_EQ((*checkpoint)->names().size(), tensors.size());
  for (const TensorSpec& tensor : tensors) {
    const TensorView* view = (*checkpoint)->Find(tensor.name);
    ASSERT_NE(view, nullptr) << tensor.name;
    EXPECT_EQ(view->shape, tensor.shape);
    const bool embedding = tensor.name == "model.embed_tokens.weight";
    const double expected =
        tensor.shape.size() < 2
            ? 1.0
            : 1.0 / std::sqrt(embedding ? model->hidden_size
                                        : tensor.shape.back());
    // 512 samples or more: a deviation within one in twenty.
    EXPECT_NEAR(DeviationOf(*view), expected, 0.06 * expected) << tensor.name;
  }
  EXPECT_TRUE(ReadGenerationDefaults(directory).ok());

  const auto tokenizer = Tokenizer::Load(directory);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), model->vocab_size);
  EXPECT_EQ((*tokenizer)->TokenId("<|turn>"), 105);
  const std::string text = "the rain\nin Spain, 42 \xe2\x82\xac";
  const auto ids = (*tokenizer)->Encode(text, {});
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_LT(ids->size(), text.size());
  EXPECT_EQ(*(*tokenizer)->Decode(*ids, false), text);
}

INSTANTIATE_TEST_SUITE_P(SmallPresets, SyntheticTest,
                         testing::Values("tiny", "tiny-moe"),
                         [](const auto& info) {
                           return info.param == std::string("tiny") ? "Dense"
                                                                    : "Moe";
                         });

TEST(SyntheticTest, TheSamePresetGivesTheSameBytes) {
  const std::string a = FreshDirectory("a"), b = FreshDirectory("b");
  ASSERT_TRUE(
      WriteSynthetic("tiny", a, SyntheticWeights::kWritten, nullptr).ok());
  ASSERT_TRUE(
      WriteSynthetic("tiny", b, SyntheticWeights::kWritten, nullptr).ok());
  const auto first = Checkpoint::Open(a), second = Checkpoint::Open(b);
  ASSERT_TRUE(first.ok() && second.ok());
  for (const std::string& name : (*first)->names()) {
    const TensorView* x = (*first)->Find(name);
    const TensorView* y = (*second)->Find(name);
    ASSERT_NE(y, nullptr);
    ASSERT_EQ(x->bytes, y->bytes);
    EXPECT_EQ(std::memcmp(x->data, y->data, x->bytes), 0) << name;
  }
}

TEST(SyntheticTest, NothingIsOverwritten) {
  const std::string directory = FreshDirectory("twice");
  ASSERT_TRUE(
      WriteSynthetic("tiny", directory, SyntheticWeights::kWritten, nullptr)
          .ok());
  const absl::Status status =
      WriteSynthetic("tiny", directory, SyntheticWeights::kWritten, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(status.message(), HasSubstr(directory));
}

TEST(SyntheticTest, AnUnknownPresetNamesTheKnown) {
  const absl::Status status =
      WriteSynthetic("huge", "/no/such", SyntheticWeights::kWritten, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("preset \"huge\""));
  for (const SyntheticPreset& preset : SyntheticPresets()) {
    EXPECT_THAT(status.message(), HasSubstr(preset.name));
  }
}

}  // namespace
}  // namespace facet
