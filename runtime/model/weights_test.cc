#include "runtime/model/weights.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/checkpoint/text_tensors.h"

namespace facet {
namespace {

ModelConfig SmallMoe() {
  ModelConfig model;
  model.vocab_size = 64;
  model.hidden_size = 16;
  model.query_heads = 4;
  model.sliding_window = 8;
  model.max_position_embeddings = 128;
  model.num_experts = 4;
  model.experts_per_token = 2;
  model.expert_width = 8;
  model.tensor_prefix = "model.";
  for (int i = 0; i < 2; ++i) {
    LayerConfig layer;
    layer.kind = i == 0 ? LayerKind::kSliding : LayerKind::kGlobal;
    layer.head_dim = 8;
    layer.kv_heads = 2;
    layer.intermediate_size = 32;
    layer.k_eq_v = i == 1;
    layer.kv_source = i;
    model.layers.push_back(layer);
  }
  return model;
}

// The value every test file holds at element i of a tensor.
float ValueAt(int64_t i) { return static_cast<float>(i % 251) / 16.0f - 4.0f; }

class WeightsTest : public testing::Test {
 protected:
  WeightsTest()
      : model_(SmallMoe()),
        directory_(absl::StrCat(
            testing::TempDir(), "/weights-",
            testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(directory_);
  }

  // Writes all expected tensors; `change` may edit names, shapes and dtypes,
  // and `poke` single elements.
  void Write(DType dtype,
             const std::function<void(std::vector<TensorSpec>&)>& change = {},
             const std::map<std::string, float>& poke = {}) {
    std::vector<TensorSpec> specs = TextTensors(model_);
    for (TensorSpec& spec : specs) spec.dtype = dtype;
    if (change) change(specs);
    auto writer =
        *SafetensorsWriter::Create(directory_ + "/model.safetensors", specs);
    for (const TensorSpec& spec : specs) {
      std::vector<uint8_t> bytes(NumBytes(spec));
      for (int64_t i = 0; i < NumElements(spec); ++i) {
        const auto it = poke.find(spec.name);
        const float value =
            it != poke.end() && i == 3 ? it->second : ValueAt(i);
        if (spec.dtype == DType::kF32) {
          std::memcpy(&bytes[4 * i], &value, 4);
        } else if (spec.dtype == DType::kBF16) {
          const BF16 rounded = ToBF16(value);
          std::memcpy(&bytes[2 * i], &rounded, 2);
        } else if (spec.dtype == DType::kF16) {
          const _Float16 half = static_cast<_Float16>(value);
          std::memcpy(&bytes[2 * i], &half, 2);
        }
      }
      ASSERT_TRUE(writer->Append(bytes).ok());
    }
    ASSERT_TRUE(writer->Finish().ok());
  }

  absl::StatusOr<Weights> Slice(const ParallelismOptions& options, int rank) {
    auto checkpoint = Checkpoint::Open(directory_);
    if (!checkpoint.ok()) return checkpoint.status();
    return SliceWeights(model_, *ShardPlan::Create(model_, options), rank,
                        *std::move(checkpoint));
  }

  static float At(const WeightMatrix& m, int64_t i, int64_t j) {
    const int64_t at = i * m.stride + j;
    if (m.dtype == DType::kF32) return static_cast<const float*>(m.data)[at];
    BF16 value;
    std::memcpy(&value.bits, static_cast<const uint8_t*>(m.data) + 2 * at, 2);
    return ToFloat(value);
  }

  const ModelConfig model_;
  const std::string directory_;
};

TEST_F(WeightsTest, EveryFloatFormatGivesTheSameNumbers) {
  for (DType dtype : {DType::kBF16, DType::kF32, DType::kF16}) {
    Write(dtype);
    const auto weights = Slice({}, 0);
    ASSERT_TRUE(weights.ok()) << weights.status();
    const WeightMatrix down = weights->layers[1].experts.down.Rows(2 * 16, 16);
    for (int64_t i = 0; i < down.rows; ++i) {
      for (int64_t j = 0; j < down.cols; ++j) {
        EXPECT_EQ(At(down, i, j),
                  ToFloat(ToBF16(ValueAt((2 * 16 + i) * 8 + j))));
      }
    }
    EXPECT_EQ(weights->layers[0].input_norm.data()[5], ValueAt(5));
  }
}

TEST_F(WeightsTest, MatricesAreViewsIntoTheMapping) {
  Write(DType::kBF16);
  const auto weights = Slice({}, 0);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ(weights->layers[0].q.data,
            weights->checkpoint->Find("model.layers.0.self_attn.q_proj.weight")
                ->data);
  EXPECT_TRUE(weights->widened.empty());
}

TEST_F(WeightsTest, RanksCutRowsColumnsAndExperts) {
  Write(DType::kBF16);
  ParallelismOptions options;
  options.tp_size = 2;
  options.ep_size = 2;
  const auto weights = Slice(options, 1);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const LayerWeights& layer = weights->layers[0];
  EXPECT_EQ(layer.q.rows, 16);
  EXPECT_EQ(At(layer.q, 0, 3), ToFloat(ToBF16(ValueAt(16 * 16 + 3))));
  EXPECT_EQ(layer.o.cols, 16);
  EXPECT_EQ(At(layer.o, 2, 1), ToFloat(ToBF16(ValueAt(2 * 32 + 16 + 1))));
  EXPECT_EQ(layer.down.cols, 16);
  EXPECT_EQ(layer.experts.gate_up.rows, 2 * 16);
  EXPECT_EQ(At(layer.experts.gate_up, 0, 0),
            ToFloat(ToBF16(ValueAt(2 * 16 * 16))));
  EXPECT_EQ(weights->head.rows, 32);
  EXPECT_TRUE(weights->layers[1].v.empty());
}

TEST_F(WeightsTest, RefusalsNameTensorExpectedAndFound) {
  Write(DType::kBF16, [](auto& specs) { specs.erase(specs.begin() + 5); });
  const std::string missing(Slice({}, 0).status().message());
  EXPECT_TRUE(absl::StrContains(missing, "is missing")) << missing;

  Write(DType::kBF16, [](auto& specs) {
    for (TensorSpec& spec : specs) {
      if (spec.name == "model.layers.1.mlp.up_proj.weight") {
        spec.shape = {32, 8};
      }
    }
  });
  const std::string shape(Slice({}, 0).status().message());
  EXPECT_TRUE(absl::StrContains(shape, "model.layers.1.mlp.up_proj.weight"));
  EXPECT_TRUE(absl::StrContains(shape, "[32, 8], expected [32, 16]")) << shape;

  Write(DType::kBF16, [](auto& specs) { specs[1].dtype = DType::kI32; });
  const std::string dtype(Slice({}, 0).status().message());
  EXPECT_TRUE(absl::StrContains(dtype, "dtype I32, expected BF16")) << dtype;
}

TEST_F(WeightsTest, TensorsOfTowersAndDeadWeightsAreLetBe) {
  Write(DType::kBF16, [](auto& specs) {
    specs.push_back({"model.vision_tower.x", DType::kBF16, {3, 4}});
  });
  EXPECT_TRUE(Slice({}, 0).ok());
}

TEST_F(WeightsTest, NanAndInfinityAreNamed) {
  for (const char* name :
       {"model.layers.1.experts.down_proj", "model.embed_tokens.weight",
        "model.layers.0.post_feedforward_layernorm_1.weight"}) {
    for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      Write(DType::kBF16, {}, {{name, bad}});
      const auto weights = Slice({}, 0);
      ASSERT_TRUE(weights.ok());
      const absl::Status found = CheckFinite(*weights, 2);
      EXPECT_EQ(found.code(), absl::StatusCode::kInvalidArgument) << name;
    }
  }
  Write(DType::kBF16);
  EXPECT_TRUE(CheckFinite(*Slice({}, 0), 2).ok());
}

}  // namespace
}  // namespace facet
