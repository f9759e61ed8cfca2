#include "kernels/attention/attention_cuda_plan.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/attention/attention_tensor_cuda_plan.h"

namespace facet {
namespace {

std::vector<int32_t> Pages(int64_t count) {
  std::vector<int32_t> pages(count);
  for (int64_t i = 0; i < count; ++i) pages[i] = static_cast<int32_t>(7 * i);
  return pages;
}

AttentionArgs Args(int64_t first_position, int64_t tokens, int heads,
                   int heads_per_kv, int offset, int64_t window,
                   const std::vector<int32_t>& pages) {
  AttentionArgs args;
  args.tokens = tokens;
  args.first_position = first_position;
  args.query_heads = heads;
  args.heads_per_kv = heads_per_kv;
  args.query_head_offset = offset;
  args.head_dim = 64;
  args.window = window;
  args.page_tokens = 32;
  args.pages = pages.data();
  return args;
}

// Every query row meets every key it sees exactly once, whatever is spread.
TEST(PlanAttention, EveryRowSeesItsKeysOnceAndInOrder) {
  const std::vector<int32_t> pages = Pages(400);
  for (const int64_t window : {int64_t{0}, int64_t{100}, int64_t{1024}}) {
    for (const int64_t first : {0, 5, 1023, 1024, 5000, 9999}) {
      for (const int64_t tokens : {1, 3, 40}) {
        const AttentionArgs args = Args(first, tokens, 6, 2, 1, window, pages);
        const AttentionPlan plan = PlanAttention({&args, 1});
        // Keys seen by (token, head), by item in the order of merging.
        std::map<std::tuple<int64_t, int>, int64_t> next_key;
        for (const AttentionItem& item : plan.items) {
          for (int32_t t = 0; t < item.tokens; ++t) {
            const int64_t position = first + item.token_begin + t;
            const int64_t seen =
                window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
            for (int h = 0; h < item.heads; ++h) {
              EXPECT_EQ((item.first_head + h + 1) / 2, item.kv_head);
              auto [it, is_new] = next_key.insert(
                  {{item.token_begin + t, item.first_head + h}, seen});
              for (int64_t s = item.split_begin; s < item.split_end; ++s) {
                const KeyRange keys = KeysOfSplit(
                    first + item.token_begin,
                    first + item.token_begin + item.tokens - 1, window, s);
                EXPECT_EQ(keys.begin % kAttentionBlock, 0);
                for (int64_t b = keys.begin; b < keys.end;
                     b += kAttentionBlock) {
                  const SeenKeys own = SeenInBlock(position, window, b);
                  for (int j = own.lo; j < own.hi; ++j) {
                    ASSERT_EQ(b + j, it->second);
                    ++it->second;
                  }
                }
              }
            }
          }
        }
        ASSERT_EQ(next_key.size(), static_cast<size_t>(6 * tokens));
        for (const auto& [row, key] : next_key) {
          EXPECT_EQ(key, first + std::get<0>(row) + 1);
        }
      }
    }
  }
}

TEST(PlanAttention, ItemsForTensorCoresHaveWholeTilesOfRows) {
  const std::vector<int32_t> pages = Pages(400);
  for (const int dim : {64, 256, 512}) {
    for (const int heads : {1, 3, 8}) {
      AttentionArgs args = Args(7, 100, heads, 8, 0, 0, pages);
      args.head_dim = dim;
      args.kv_dtype = DType::kBF16;
      args.bf16_inputs = true;
      ASSERT_TRUE(AttentionUsesTensorCores(args));
      const AttentionPlan plan = PlanAttention({&args, 1});
      EXPECT_EQ(plan.rows_per_item, dim == 512 ? 32 : 64);
      int64_t rows = 0;
      for (const AttentionItem& item : plan.items) {
        EXPECT_LE(item.heads * item.tokens, plan.rows_per_item);
        rows += int64_t{item.heads} * item.tokens;
      }
      EXPECT_EQ(rows, 100 * heads);
      EXPECT_LE(plan.most_rows,
                kTileRows * TensorAttentionTiles(plan.most_rows));
      const int tiles = TensorAttentionTiles(plan.most_rows);
      EXPECT_LE(LayoutOf(tiles, dim, TensorKeyBlocks(tiles, dim)).bytes,
                160 * 1024);
    }
  }
}

// Whichever kernel takes a row, its bits are one's: nothing but the shape may
// choose.
TEST(PlanAttention, TensorCoresAreChosenByShapeAlone) {
  const std::vector<int32_t> pages = Pages(400);
  AttentionArgs args = Args(0, 1, 8, 8, 0, 0, pages);
  args.head_dim = 256;
  args.bf16_inputs = true;
  EXPECT_FALSE(AttentionUsesTensorCores(args)) << "pages of f32 stay as exact";
  args.kv_dtype = DType::kBF16;
  EXPECT_TRUE(AttentionUsesTensorCores(args));
  args.tokens = 1000;
  EXPECT_TRUE(AttentionUsesTensorCores(args));
  args.head_dim = 80;
  EXPECT_FALSE(AttentionUsesTensorCores(args));
  args.head_dim = 256;
  args.bf16_inputs = false;
  EXPECT_FALSE(AttentionUsesTensorCores(args));
}

TEST(PlanAttention, ElementsOfATileAreNamedOnce) {
  bool named[16][2] = {};
  for (int lane = 0; lane < 32; ++lane) {
    const TilePlace place = PlaceOfLane(lane);
    EXPECT_FALSE(named[place.row][place.column / 8]);
    named[place.row][place.column / 8] = true;
  }
}

TEST(PlanAttention, WhatLiesInSharedMemoryIsApartAndAligned) {
  for (const int tiles : {1, 2, 4}) {
    for (const int dim : {64, 256, 512}) {
      const int blocks = TensorKeyBlocks(tiles, dim);
      const TensorAttentionLayout at = LayoutOf(tiles, dim, blocks);
      const int rows = tiles * kTileRows;
      const int keys = blocks * kAttentionBlock;
      EXPECT_GE(at.k - at.q, rows * at.row_bytes);
      EXPECT_GE(at.v - at.k, keys * at.row_bytes);
      EXPECT_GE(at.scores - at.v, keys * at.row_bytes);
      EXPECT_GE(at.weights - at.scores, blocks * rows * kScoreStride * 4);
      EXPECT_GE(at.rescale - at.weights, blocks * rows * kWeightRowBytes);
      EXPECT_GE(at.m - at.rescale, blocks * rows * 4);
      EXPECT_EQ(at.bytes - at.m, 4 * rows * 4);
      // What a block of threads may have; four tiles of the widest heads are
      // never launched.
      if (rows <= TensorAttentionRows(dim)) {
        EXPECT_LE(at.bytes, 227 * 1024);
      }
      for (const int offset : {at.q, at.k, at.v, at.scores, at.weights}) {
        EXPECT_EQ(offset % 16, 0);
      }
      // Eight rows read together meet all banks of 16 bytes.
      EXPECT_EQ(at.row_bytes % 128, 16);
    }
  }
}

// One token's keys: as many on their way as the plain kernel has, or 64 KiB.
TEST(PlanAttention, OneTileHasManyKeysOnTheirWay) {
  EXPECT_EQ(TensorKeyBlocks(1, 256) * kAttentionBlock, 128);
  EXPECT_EQ(TensorKeyBlocks(1, 512) * kAttentionBlock * 512 * 2, 64 * 1024);
  EXPECT_EQ(TensorKeyBlocks(4, 256), 1);
}

TEST(PlanAttention, SpreadSplitsAreMergedInOrderAndHaveStatesOfTheirOwn) {
  const std::vector<int32_t> pages = Pages(400);
  const AttentionArgs args = Args(9000, 1, 8, 8, 0, 0, pages);
  const AttentionPlan plan = PlanAttention({&args, 1});
  ASSERT_EQ(plan.merges.size(), 1u);
  EXPECT_EQ(plan.merges[0].count, 9);
  EXPECT_EQ(plan.states, 9);
  for (int i = 0; i < 9; ++i) {
    const AttentionItem& item = plan.items[plan.merges[0].item + i];
    EXPECT_EQ(item.split_begin, i);
    EXPECT_EQ(item.split_end, i + 1);
    EXPECT_EQ(item.state, i);
  }
}

TEST(PlanAttention, StatesFitWhatIsReserved) {
  const std::vector<int32_t> pages = Pages(8192);
  std::vector<AttentionArgs> many(40, Args(262143, 1, 8, 2, 0, 0, pages));
  const AttentionPlan plan = PlanAttention(many);
  EXPECT_LE(plan.states, kMostAttentionStates);
  EXPECT_EQ(plan.items.size(), 160u);
}

TEST(PlanAttention, PagesOfAllSequencesLieOneBehindTheOther) {
  const std::vector<int32_t> pages = Pages(10);
  std::vector<AttentionArgs> two = {Args(40, 1, 2, 2, 0, 0, pages),
                                    Args(100, 1, 2, 2, 0, 32, pages)};
  two[1].first_page = 2;
  two[1].pages = pages.data() + 5;
  const AttentionPlan plan = PlanAttention(two);
  ASSERT_EQ(plan.pages.size(), 4u);
  EXPECT_EQ(plan.sequences[1].pages_begin, 2);
  EXPECT_EQ(plan.pages[2], pages[5]);
  EXPECT_EQ(plan.pages[3], pages[6]);
}

}  // namespace
}  // namespace facet
