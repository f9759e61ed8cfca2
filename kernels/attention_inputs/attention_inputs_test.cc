#include "kernels/attention_inputs/attention_inputs.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"

namespace facet {
namespace {

constexpr int kQueryHeads = 4, kKvHeads = 2, kDim = 32, kPageTokens = 32;
constexpr int kPages = 5;

struct Case {
  bool v_from_k;
  DType kv_dtype;
  int threads;
};

std::vector<float> Random(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

class AttentionInputsTest : public testing::TestWithParam<Case> {};

// Step by step with the operations it is made of.
TEST_P(AttentionInputsTest, IsItsPartsOneAfterAnother) {
  const auto [v_from_k, kv_dtype, threads] = GetParam();
  ThreadPool pool(threads), one(1);
  constexpr int64_t kTokens = 70;
  std::vector<int64_t> positions, slots;
  const int32_t pages[] = {3, 0, 4};
  for (int64_t t = 0; t < kTokens; ++t) {
    positions.push_back(t);
    slots.push_back(pages[t / kPageTokens] * kPageTokens + t % kPageTokens);
  }
  const std::vector<float> frequencies = RopeFrequencies(10000, kDim, 8, 1);
  std::vector<float> cos(kTokens * 8), sin(kTokens * 8);
  RopeTable(positions, frequencies, cos.data(), sin.data(), one);

  std::vector<float> q = Random(kTokens * kQueryHeads * kDim, 1);
  std::vector<float> k = Random(kTokens * kKvHeads * kDim, 2);
  std::vector<float> v = Random(kTokens * kKvHeads * kDim, 3);
  const std::vector<float> q_norm = Random(kDim, 4), k_norm = Random(kDim, 5);
  std::vector<float> want_q = q, want_k = k;
  std::vector<float> want_v = v_from_k ? k : v;
  const auto norm = [&](std::vector<float>& x, int heads, const float* weight) {
    RmsNormArgs args;
    args.rows = kTokens * heads;
    args.width = args.x_stride = args.y_stride = kDim;
    args.x = args.y = x.data();
    args.weight = weight;
    RmsNorm(args, one);
  };
  const auto rotate = [&](std::vector<float>& x, int heads) {
    RopeArgs args;
    args.tokens = kTokens;
    args.heads = heads;
    args.head_dim = kDim;
    args.rotated_pairs = 8;
    args.cos = cos.data();
    args.sin = sin.data();
    args.x = x.data();
    args.token_stride = heads * kDim;
    Rope(args, one);
  };
  norm(want_q, kQueryHeads, q_norm.data());
  rotate(want_q, kQueryHeads);
  norm(want_v, kKvHeads, nullptr);
  norm(want_k, kKvHeads, k_norm.data());
  rotate(want_k, kKvHeads);

  constexpr int64_t kPool = int64_t{kPages} * kKvHeads * kPageTokens * kDim;
  std::vector<float> k_pages(kPool, -7), v_pages(kPool, -7);
  AttentionInputsArgs args;
  args.tokens = kTokens;
  args.query_heads = kQueryHeads;
  args.kv_heads = kKvHeads;
  args.head_dim = kDim;
  args.rotated_pairs = 8;
  args.cos = cos.data();
  args.sin = sin.data();
  args.q = q.data();
  args.q_norm = q_norm.data();
  args.k = k.data();
  args.k_norm = k_norm.data();
  args.v = v.data();
  args.v_from_k = v_from_k;
  args.k_pages = k_pages.data();
  args.v_pages = v_pages.data();
  args.kv_dtype = kv_dtype;
  args.page_tokens = kPageTokens;
  args.slots = slots.data();
  AttentionInputs(args, pool);

  EXPECT_EQ(q, want_q);
  const auto stored = [&](const std::vector<float>& page_data, int64_t at) {
    return kv_dtype == DType::kF32
               ? page_data[at]
               : ToFloat(reinterpret_cast<const BF16*>(page_data.data())[at]);
  };
  const auto rounded = [&](float x) {
    return kv_dtype == DType::kF32 ? x : ToFloat(ToBF16(x));
  };
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int h = 0; h < kKvHeads; ++h) {
      for (int d = 0; d < kDim; ++d) {
        const int64_t page = slots[t] / kPageTokens;
        const int64_t place = slots[t] % kPageTokens;
        const int64_t at =
            ((page * kKvHeads + h) * kPageTokens + place) * kDim + d;
        const int64_t from = (t * kKvHeads + h) * kDim + d;
        ASSERT_EQ(stored(k_pages, at), rounded(want_k[from])) << t;
        ASSERT_EQ(stored(v_pages, at), rounded(want_v[from])) << t;
      }
    }
  }
  // Pages that no slot names keep what they held.
  if (kv_dtype == DType::kF32) {
    EXPECT_EQ(k_pages[1 * kKvHeads * kPageTokens * kDim], -7);
    EXPECT_EQ(v_pages.back(), -7);
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionInputsTest,
                         testing::Values(Case{false, DType::kF32, 1},
                                         Case{true, DType::kF32, 3},
                                         Case{false, DType::kBF16, 3},
                                         Case{true, DType::kBF16, 1}));

TEST(AttentionInputsSharingTest, WithoutKeysOnlyQueriesChange) {
  ThreadPool pool(2);
  std::vector<float> q = Random(3 * kQueryHeads * kDim, 1);
  const std::vector<float> before = q;
  AttentionInputsArgs args;
  args.tokens = 3;
  args.query_heads = kQueryHeads;
  args.head_dim = kDim;
  args.q = q.data();
  AttentionInputs(args, pool);
  EXPECT_NE(q, before);
}

}  // namespace
}  // namespace facet
