#include "runtime/plan/work.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

// Five sliding layers, then a global one that uses K as V, and so on.
ModelConfig SixLayerPattern(int layers, int hidden, int intermediate) {
  ModelConfig model;
  model.vocab_size = 32768;
  model.hidden_size = hidden;
  model.query_heads = 8;
  model.sliding_window = 1024;
  for (int i = 0; i < layers; ++i) {
    const bool global = (i + 1) % 6 == 0;
    LayerConfig layer;
    layer.kind = global ? LayerKind::kGlobal : LayerKind::kSliding;
    layer.head_dim = global ? 512 : 256;
    layer.kv_heads = global ? 1 : 4;
    layer.intermediate_size = intermediate;
    layer.k_eq_v = global;
    layer.kv_source = i;
    model.layers.push_back(layer);
  }
  return model;
}

ModelConfig Dense1b() { return SixLayerPattern(30, 1536, 6144); }

ModelConfig Moe2b() {
  ModelConfig model = SixLayerPattern(24, 1024, 768);
  model.num_experts = 128;
  model.experts_per_token = 8;
  model.expert_width = 256;
  return model;
}

TEST(WorkTest, ADenseStepReadsEveryWeightOnceWhateverTheBatch) {
  EXPECT_NEAR(DecodeStepWeightBytes(Dense1b(), 1), 2.405e9, 0.001e9);
  EXPECT_EQ(DecodeStepWeightBytes(Dense1b(), 32),
            DecodeStepWeightBytes(Dense1b(), 1));
}

TEST(WorkTest, AnExpertStepReadsTheExpectedDistinctExperts) {
  EXPECT_NEAR(DecodeStepWeightBytes(Moe2b(), 1), 0.812e9, 0.001e9);
  EXPECT_NEAR(DecodeStepWeightBytes(Moe2b(), 8), 2.46e9, 0.01e9);
  EXPECT_NEAR(DecodeStepWeightBytes(Moe2b(), 32), 4.73e9, 0.01e9);
}

TEST(WorkTest, DistinctExpertsRiseFromTopKToAll) {
  const ModelConfig model = Moe2b();
  EXPECT_NEAR(ExpectedDistinctExperts(model, 1), 8, 1e-9);
  EXPECT_NEAR(ExpectedDistinctExperts(model, 8), 51.6, 0.1);
  EXPECT_NEAR(ExpectedDistinctExperts(model, 32), 111.8, 0.1);
  EXPECT_NEAR(ExpectedDistinctExperts(model, 100000), 128, 1e-9);
  EXPECT_EQ(ExpectedDistinctExperts(Dense1b(), 8), 0);
}

TEST(WorkTest, PromptTokensCostMatricesAttentionAndOneHead) {
  EXPECT_NEAR(PrefillFlops(Dense1b(), 512) / 512, 2.38e9, 0.005e9);
  EXPECT_NEAR(PrefillFlops(Dense1b(), 2048) / 2048, 2.55e9, 0.005e9);
  EXPECT_NEAR(PrefillFlops(Moe2b(), 512) / 512, 0.80e9, 0.005e9);
  EXPECT_NEAR(PrefillFlops(Moe2b(), 2048) / 2048, 0.94e9, 0.005e9);
}

TEST(WorkTest, DecodingTokenByTokenCostsAPrefillAndAHeadForEach) {
  const ModelConfig model = Dense1b();
  const double head = 2.0 * model.vocab_size * model.hidden_size;
  double decoded = 0;
  for (int64_t p = 0; p < 1500; ++p) decoded += DecodeFlops(model, p);
  EXPECT_NEAR(decoded, PrefillFlops(model, 1500) + 1499 * head, 1e-5 * decoded);
}

TEST(WorkTest, BeyondTheWindowOnlyGlobalLayersCostMore) {
  const ModelConfig model = Dense1b();
  const double more = DecodeFlops(model, 5001) - DecodeFlops(model, 5000);
  EXPECT_NEAR(more, 5 * 4.0 * 8 * 512, 1);
}

TEST(WorkTest, AStepOfOneSliceIsAPromptOrADecodedToken) {
  for (const ModelConfig& model : {Dense1b(), Moe2b()}) {
    const SliceShape prompt{/*start=*/0, /*tokens=*/300, /*head_rows=*/1};
    const StepWork prefill = WorkOfStep(model, {prompt}, 4);
    EXPECT_NEAR(prefill.flops, PrefillFlops(model, 300), 1);
    EXPECT_NEAR(prefill.weight_bytes, DecodeStepWeightBytes(model, 300), 1);

    const StepWork decode = WorkOfStep(model, {SliceShape{300, 1, 1}}, 4);
    EXPECT_NEAR(decode.flops, DecodeFlops(model, 300), 1);
    EXPECT_NEAR(decode.weight_bytes, DecodeStepWeightBytes(model, 1), 1);
  }
}

TEST(WorkTest, SlicesShareWeightsAndNotKeysAndValues) {
  const ModelConfig model = Dense1b();
  const StepWork one = WorkOfStep(model, {SliceShape{100, 1, 1}}, 4);
  const StepWork two =
      WorkOfStep(model, {SliceShape{100, 1, 1}, SliceShape{100, 1, 1}}, 4);
  EXPECT_EQ(two.weight_bytes, one.weight_bytes);
  EXPECT_NEAR(two.kv_bytes, 2 * one.kv_bytes, 1);
  EXPECT_NEAR(two.flops, 2 * one.flops, 1);
  // 25 layers of 4 x 256 and 5 of 1 x 512, keys and values, f32.
  EXPECT_NEAR(one.kv_bytes, 101.0 * 2 * 4 * (25 * 1024 + 5 * 512), 1);
}

TEST(WorkTest, SlidingLayersReadTheirWindowAlone) {
  const ModelConfig model = Dense1b();
  const double far = WorkOfStep(model, {SliceShape{5000, 1, 1}}, 2).kv_bytes;
  const double farther =
      WorkOfStep(model, {SliceShape{5001, 1, 1}}, 2).kv_bytes;
  EXPECT_NEAR(farther - far, 2.0 * 2 * 5 * 512, 1e-3);
}

TEST(WorkTest, ASliceWithoutLogitsNeedsNoHead) {
  const ModelConfig model = Dense1b();
  const StepWork with = WorkOfStep(model, {SliceShape{0, 64, 1}}, 4);
  const StepWork without = WorkOfStep(model, {SliceShape{0, 64, 0}}, 4);
  // The final norm counts as the head's.
  EXPECT_NEAR(with.weight_bytes - without.weight_bytes,
              2.0 * (32768 * 1536 + 1536), 1);
  EXPECT_EQ(WorkOfStep(model, {}, 4).weight_bytes, 0);
}

}  // namespace
}  // namespace facet
