#include "runtime/kv_cache/kv_cache.h"

#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// Four layers: sliding, global, and a sharer of each.
ModelConfig SmallModel() {
  ModelConfig model;
  model.vocab_size = 16;
  model.hidden_size = 32;
  model.query_heads = 4;
  model.sliding_window = 40;
  model.max_position_embeddings = 4096;
  for (int i = 0; i < 4; ++i) {
    LayerConfig layer;
    layer.kind = i % 2 == 0 ? LayerKind::kSliding : LayerKind::kGlobal;
    layer.head_dim = layer.kind == LayerKind::kSliding ? 8 : 16;
    layer.kv_heads = 2;
    layer.intermediate_size = 64;
    layer.kv_source = i % 2;
    model.layers.push_back(layer);
  }
  return model;
}

SequenceSlice Slice(uint64_t id, int64_t start, int tokens,
                    std::vector<int> pages) {
  SequenceSlice slice;
  slice.sequence = {id};
  slice.start = start;
  slice.tokens.assign(tokens, 1);
  if (start == 0) slice.begins.emplace().prompt_tokens = tokens;
  for (int page : pages) {
    slice.new_sliding_pages.push_back({page});
    slice.new_global_pages.push_back({page});
  }
  return slice;
}

// Each layer writes a number of its own to all its pages: none is overwritten.
TEST(KvCacheLayoutTest, NoTwoLayersShareAnElementOfAPage) {
  ModelConfig model = SmallModel();
  for (int i = 0; i < 4; ++i) {
    model.layers.push_back(model.layers[i % 2]);
    model.layers.back().kv_source = 4 + i;
  }
  for (KvFormat format : {KvFormat::kF32, KvFormat::kBF16}) {
    const int64_t element = format == KvFormat::kF32 ? 4 : 2;
    const std::unique_ptr<KvCache> cache = *KvCache::Create(
        model, *ShardPlan::Create(model, {}), 0, {32, 5, 7}, format);
    const auto for_each_byte = [&](auto visit) {
      for (int layer : {0, 1, 4, 5, 6, 7}) {
        const LayerPages& to = cache->layer(layer);
        const int64_t bytes = 32 * to.kv_heads * to.head_dim * element;
        for (int page = 0; page < (layer % 2 == 0 ? 5 : 7); ++page) {
          for (void* begin : {to.k, to.v}) {
            char* at =
                static_cast<char*>(begin) + page * to.page_stride * element;
            const char mark =
                static_cast<char>(layer * 2 + (begin == to.v ? 1 : 0) + 1);
            for (int64_t i = 0; i < bytes; ++i) visit(at[i], mark);
          }
        }
      }
    };
    for_each_byte([](char& byte, char mark) {
      ASSERT_EQ(byte, 0);
      byte = mark;
    });
    for_each_byte([](char& byte, char mark) { ASSERT_EQ(byte, mark); });
  }
}

class KvCacheTest : public testing::Test {
 protected:
  KvCacheTest()
      : model_(SmallModel()),
        plan_(*ShardPlan::Create(model_, {})),
        cache_(*KvCache::Create(model_, plan_, 0, {32, 8, 8}, KvFormat::kF32)) {
  }

  absl::Status Apply(std::vector<SequenceSlice> slices,
                     std::vector<SequenceId> finished = {}) {
    StepPlan plan;
    plan.slices = std::move(slices);
    plan.finished = std::move(finished);
    return cache_->Apply(plan);
  }

  ModelConfig model_;
  ShardPlan plan_;
  std::unique_ptr<KvCache> cache_;
};

TEST_F(KvCacheTest, SharersReadTheirDonorsPages) {
  EXPECT_EQ(cache_->layer(2).k, cache_->layer(0).k);
  EXPECT_EQ(cache_->layer(3).v, cache_->layer(1).v);
  EXPECT_NE(cache_->layer(0).k, cache_->layer(1).k);
  EXPECT_EQ(cache_->layer(1).head_dim, 16);
}

TEST_F(KvCacheTest, EveryTokenHasASlotInThePageOfItsPosition) {
  ASSERT_TRUE(Apply({Slice(1, 0, 40, {5, 2})}).ok());
  std::vector<int64_t> slots = {-1};
  cache_->AppendSlots(Slice(1, 0, 40, {}), LayerKind::kSliding, slots);
  ASSERT_EQ(slots.size(), 41u);
  for (int t = 0; t < 40; ++t) {
    EXPECT_EQ(slots[t + 1], (t < 32 ? 5 : 2) * 32 + t % 32);
  }
}

TEST_F(KvCacheTest, SlotsGoOnBehindPagesThatLeftTheWindow) {
  ASSERT_TRUE(Apply({Slice(1, 0, 96, {0, 1, 2})}).ok());
  SequenceSlice next = Slice(1, 96, 1, {3});
  next.sliding_first_page = 2;
  ASSERT_TRUE(Apply({next}).ok());
  std::vector<int64_t> slots;
  cache_->AppendSlots(next, LayerKind::kSliding, slots);
  cache_->AppendSlots(next, LayerKind::kGlobal, slots);
  EXPECT_EQ(slots, (std::vector<int64_t>{96, 96}));
}

TEST_F(KvCacheTest, PagesBehindTheWindowLeaveTheSlidingTableAlone) {
  ASSERT_TRUE(Apply({Slice(1, 0, 96, {0, 1, 2})}).ok());
  SequenceSlice next = Slice(1, 96, 1, {3});
  next.sliding_first_page = 1;
  ASSERT_TRUE(Apply({next}).ok());
  const SequencePageTable& sliding = cache_->table({1}, LayerKind::kSliding);
  EXPECT_EQ(sliding.first_page, 1);
  EXPECT_EQ(sliding.pages, (std::vector<int32_t>{1, 2, 3}));
  const SequencePageTable& global = cache_->table({1}, LayerKind::kGlobal);
  EXPECT_EQ(global.first_page, 0);
  EXPECT_EQ(global.pages, (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST_F(KvCacheTest, ARefusedStepChangesNothing) {
  ASSERT_TRUE(Apply({Slice(1, 0, 32, {0})}).ok());
  // The second slice has no page for its tokens.
  const absl::Status refused =
      Apply({Slice(1, 32, 1, {1}), Slice(2, 0, 3, {})});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cache_->table({1}, LayerKind::kGlobal).pages.size(), 1u);
  EXPECT_EQ(Apply({Slice(1, 33, 1, {1})}).code(),
            absl::StatusCode::kInvalidArgument);  // leaves a gap
  EXPECT_TRUE(Apply({Slice(1, 32, 1, {1})}).ok());
}

TEST_F(KvCacheTest, ASequenceMayBeginOnPagesThatAnotherFilled) {
  ASSERT_TRUE(Apply({Slice(1, 0, 96, {0, 1, 2})}).ok());
  SequenceSlice hit = Slice(2, 64, 10, {});
  hit.begins.emplace().prompt_tokens = 74;
  hit.sliding_first_page = 1;
  hit.new_sliding_pages = {{1}, {5}};
  hit.new_global_pages = {{0}, {1}, {5}};
  SequenceSlice short_of_pages = hit;
  short_of_pages.new_sliding_pages.pop_back();
  EXPECT_EQ(Apply({short_of_pages}).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Apply({hit}).ok());
  const SequencePageTable& sliding = cache_->table({2}, LayerKind::kSliding);
  EXPECT_EQ(sliding.first_page, 1);
  EXPECT_EQ(sliding.pages, (std::vector<int32_t>{1, 5}));
  EXPECT_EQ(cache_->table({2}, LayerKind::kGlobal).pages,
            (std::vector<int32_t>{0, 1, 5}));
  EXPECT_TRUE(Apply({Slice(2, 74, 1, {})}).ok());
}

TEST_F(KvCacheTest, OnlyAnUnknownSequenceBegins) {
  SequenceSlice unknown = Slice(1, 0, 5, {0});
  unknown.begins.reset();
  EXPECT_EQ(Apply({unknown}).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Apply({Slice(1, 0, 32, {0})}).ok());
  SequenceSlice again = Slice(1, 32, 1, {1});
  again.begins.emplace();
  EXPECT_EQ(Apply({again}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Apply({Slice(1, 32, 1, {1})}).ok());
}

TEST_F(KvCacheTest, AnEndedSequenceMayBeginAnew) {
  ASSERT_TRUE(Apply({Slice(1, 0, 32, {0})}).ok());
  ASSERT_TRUE(Apply({}, {SequenceId{1}}).ok());
  EXPECT_TRUE(Apply({Slice(1, 0, 5, {4})}).ok());
}

}  // namespace
}  // namespace facet
