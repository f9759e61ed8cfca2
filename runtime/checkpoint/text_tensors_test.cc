#include "runtime/checkpoint/text_tensors.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/checkpoint.h"

namespace facet {
namespace {

class TextTensorsTest : public testing::TestWithParam<const char*> {};

// Sharing layers may carry K/V tensors that nothing reads; all else in the
// file is in the list.
TEST_P(TextTensorsTest, ListsTheTensorsOfARealCheckpoint) {
  const std::string directory =
      absl::StrCat("tests/testdata/golden/", GetParam(), "-tiny");
  const auto model = ReadModelConfig(directory);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::set<std::string> listed;
  for (const TensorSpec& spec : TextTensors(*model)) {
    EXPECT_TRUE(listed.insert(spec.name).second) << spec.name;
    const TensorView* view = (*checkpoint)->Find(spec.name);
    ASSERT_NE(view, nullptr) << spec.name;
    EXPECT_EQ(view->dtype, spec.dtype) << spec.name;
    EXPECT_EQ(view->shape, spec.shape) << spec.name;
  }
  for (const std::string& name : (*checkpoint)->names()) {
    const bool unused_kv = absl::StrContains(name, "self_attn.k_") ||
                           absl::StrContains(name, "self_attn.v_");
    EXPECT_TRUE(listed.count(name) == 1 || unused_kv) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(AllGoldenModels, TextTensorsTest,
                         testing::Values("dense", "moe", "e2b", "e4b"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST(TextTensorsTest, AnUntiedHeadIsATensorOfItsOwn) {
  auto model = ReadModelConfig("tests/testdata/golden/dense-tiny");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_NE(TextTensors(*model).back().name, "lm_head.weight");
  model->tie_word_embeddings = false;
  EXPECT_EQ(TextTensors(*model).back().name, "lm_head.weight");
}

}  // namespace
}  // namespace facet
