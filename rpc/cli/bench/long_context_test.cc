#include "rpc/cli/bench/long_context.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

// A sliding layer, a global one and a sharer of the first.
ModelConfig SmallModel() {
  ModelConfig model;
  model.vocab_size = 16;
  model.hidden_size = 32;
  model.query_heads = 4;
  model.sliding_window = 40;
  model.max_position_embeddings = 4096;
  for (int i = 0; i < 3; ++i) {
    LayerConfig layer;
    layer.kind = i == 1 ? LayerKind::kGlobal : LayerKind::kSliding;
    layer.head_dim = i == 1 ? 16 : 8;
    layer.kv_heads = i == 1 ? 1 : 2;
    layer.intermediate_size = 64;
    layer.kv_source = i % 2;
    model.layers.push_back(layer);
  }
  return model;
}

TEST(LongContextTest, CountsTheBytesThatEveryLayerReads) {
  LongContextOptions options;
  options.context = 2500;
  options.threads = 2;
  options.repeat = 2;
  for (KvFormat format : {KvFormat::kF32, KvFormat::kBF16}) {
    options.format = format;
    const int64_t element = format == KvFormat::kF32 ? 4 : 2;
    int samples = 0;
    const auto runs = MeasureLongContext(SmallModel(), options, [&] {
      ++samples;
      return LimitSample();
    });
    ASSERT_TRUE(runs.ok()) << runs.status();
    EXPECT_EQ(runs->kv_bytes, 2 * element * (2 * 40 * 2 * 8 + 2501 * 1 * 16));
    EXPECT_EQ(runs->attention_s.size(), 2u);
    EXPECT_EQ(samples, 3);
  }
}

}  // namespace
}  // namespace facet
