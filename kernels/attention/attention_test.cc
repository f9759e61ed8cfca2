#include "kernels/attention/attention.h"

#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// One sequence whose keys and values lie in shuffled pages.
struct Problem {
  Problem(int64_t length, int query_heads, int kv_heads, int head_dim,
          int64_t window, DType dtype, int page_tokens, uint32_t seed)
      : length(length),
        query_heads(query_heads),
        kv_heads(kv_heads),
        head_dim(head_dim),
        window(window),
        dtype(dtype),
        page_tokens(page_tokens) {
    // Values depend on seed and position, not on where a page lies.
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int64_t count = length * kv_heads * head_dim;
    k.resize(count);
    v.resize(count);
    for (int64_t i = 0; i < count; ++i) {
      k[i] = ToFloat(ToBF16(normal(random)));
      v[i] = ToFloat(ToBF16(normal(random)));
    }
    q.resize(length * query_heads * head_dim);
    for (float& x : q) x = normal(random) * 0.3f;
    const int64_t table = (length + page_tokens - 1) / page_tokens;
    for (int64_t i = 0; i < table; ++i) pages.push_back(i);
    std::shuffle(pages.begin(), pages.end(), random);
    // Other layers' pages lie between.
    page_stride = (kv_heads * page_tokens + 3) * head_dim;
    const int64_t pool = table * page_stride;
    k_f32.assign(pool, std::nanf(""));  // what no key owns must not be read
    v_f32.assign(pool, std::nanf(""));
    k_bf16.assign(pool, ToBF16(std::nanf("")));
    v_bf16.assign(pool, ToBF16(std::nanf("")));
    for (int64_t t = 0; t < length; ++t) {
      for (int h = 0; h < kv_heads; ++h) {
        for (int d = 0; d < head_dim; ++d) {
          const int64_t from = (t * kv_heads + h) * head_dim + d;
          const int64_t to = pages[t / page_tokens] * page_stride +
                             (h * page_tokens + t % page_tokens) * head_dim + d;
          k_f32[to] = k[from];
          v_f32[to] = v[from];
          k_bf16[to] = ToBF16(k[from]);
          v_bf16[to] = ToBF16(v[from]);
        }
      }
    }
  }

  AttentionArgs Args(int64_t begin, int64_t end, std::vector<float>& y) const {
    y.assign((end - begin) * query_heads * head_dim, -1);
    AttentionArgs args;
    args.tokens = end - begin;
    args.first_position = begin;
    args.query_heads = query_heads;
    args.kv_heads = kv_heads;
    args.heads_per_kv = query_heads / kv_heads;
    args.head_dim = head_dim;
    args.window = window;
    args.q = q.data() + begin * query_heads * head_dim;
    args.q_stride = query_heads * head_dim;
    args.kv_dtype = dtype;
    args.k = dtype == DType::kF32 ? static_cast<const void*>(k_f32.data())
                                  : k_bf16.data();
    args.v = dtype == DType::kF32 ? static_cast<const void*>(v_f32.data())
                                  : v_bf16.data();
    args.page_tokens = page_tokens;
    args.page_stride = page_stride;
    // As a worker would: nothing of the table before the window.
    const int64_t first =
        window > 0 ? std::max<int64_t>(0, begin - window + 1) / page_tokens : 0;
    args.pages = pages.data() + first;
    args.first_page = first;
    args.y = y.data();
    args.y_stride = query_heads * head_dim;
    return args;
  }

  // Softmax attention in double, straight from the definition.
  std::vector<float> Exact(int64_t begin, int64_t end) const {
    std::vector<float> out;
    for (int64_t t = begin; t < end; ++t) {
      for (int h = 0; h < query_heads; ++h) {
        const int kv = h / (query_heads / kv_heads);
        const int64_t first =
            window > 0 ? std::max<int64_t>(0, t - window + 1) : 0;
        std::vector<double> scores, sum(head_dim);
        double largest = -1e300, total = 0;
        for (int64_t j = first; j <= t; ++j) {
          double s = 0;
          for (int d = 0; d < head_dim; ++d) {
            s += static_cast<double>(q[(t * query_heads + h) * head_dim + d]) *
                 k[(j * kv_heads + kv) * head_dim + d];
          }
          scores.push_back(s);
          largest = std::max(largest, s);
        }
        for (int64_t j = first; j <= t; ++j) {
          const double p = std::exp(scores[j - first] - largest);
          total += p;
          for (int d = 0; d < head_dim; ++d) {
            sum[d] += p * v[(j * kv_heads + kv) * head_dim + d];
          }
        }
        for (double s : sum) out.push_back(static_cast<float>(s / total));
      }
    }
    return out;
  }

  int64_t length;
  int query_heads, kv_heads, head_dim;
  int64_t window;
  DType dtype;
  int page_tokens;
  int64_t page_stride;
  std::vector<float> q, k, v, k_f32, v_f32;
  std::vector<BF16> k_bf16, v_bf16;
  std::vector<int32_t> pages;
};

class AttentionTest : public testing::TestWithParam<AttentionVariant> {};

TEST_P(AttentionTest, IsSoftmaxAttention) {
  for (int64_t window : {0, 1, 24, 100}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      Problem problem(150, 8, 2, 24, window, dtype, 32, 5);
      std::vector<float> y;
      const AttentionArgs args = problem.Args(0, 150, y);
      AttentionWith(GetParam(), args);
      const std::vector<float> exact = problem.Exact(0, 150);
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_NEAR(y[i], exact[i], 2e-5) << i << " window " << window;
      }
    }
  }
}

TEST_P(AttentionTest, HasTheReferencesBits) {
  uint32_t seed = 0;
  for (int head_dim : {8, 16, 40, 64, 256}) {
    for (int64_t window : {0, 16, 33, 1100}) {
      for (DType dtype : {DType::kF32, DType::kBF16}) {
        Problem problem(1500, 6, 2, head_dim, window, dtype, 64, ++seed);
        std::vector<float> want, got;
        AttentionWith(AttentionVariants().back(),
                      problem.Args(1490, 1500, want));
        AttentionWith(GetParam(), problem.Args(1490, 1500, got));
        ASSERT_EQ(got, want) << head_dim << " " << window;
      }
    }
  }
}

// A split that threads share is made in two steps, by panels and columns.
TEST_P(AttentionTest, StepsHaveTheBitsOfTheWhole) {
  for (int head_dim : {24, 64, 256}) {
    for (int64_t window : {0, 33, 1100}) {
      Problem problem(1500, 9, 1, head_dim, window, DType::kBF16, 32, head_dim);
      std::vector<float> want, got;
      AttentionWith(GetParam(), problem.Args(1496, 1500, want));
      for (int columns : {32, 96, 256}) {
        AttentionWith(GetParam(), problem.Args(1496, 1500, got), columns);
        ASSERT_EQ(got, want) << head_dim << " " << window << " " << columns;
      }
    }
  }
}

// However a prompt is cut into chunks and pages, a token's bits are the same.
TEST_P(AttentionTest, BitsDoNotDependOnChunksOrPages) {
  for (int64_t window : {0, 50}) {
    Problem problem(1300, 4, 1, 32, window, DType::kF32, 32, 9);
    Problem other_pages(1300, 4, 1, 32, window, DType::kF32, 128, 9);
    std::vector<float> all, one;
    AttentionWith(GetParam(), problem.Args(0, 1300, all));
    for (int64_t t : {0, 1, 31, 32, 777, 1023, 1024, 1299}) {
      AttentionWith(GetParam(), other_pages.Args(t, t + 1, one));
      EXPECT_EQ(one, std::vector<float>(all.begin() + t * 128,
                                        all.begin() + (t + 1) * 128))
          << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, AttentionTest,
                         testing::ValuesIn(AttentionVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(AttentionDispatchTest, SplitsOverThreadsChangeNoBit) {
  Problem a(5000, 4, 2, 64, 0, DType::kF32, 32, 1);
  Problem b(70, 4, 2, 64, 0, DType::kF32, 32, 2);
  std::vector<float> want_a, want_b, got_a, got_b;
  AttentionWith(AttentionVariants().front(), a.Args(4999, 5000, want_a));
  AttentionWith(AttentionVariants().front(), b.Args(60, 70, want_b));
  ThreadPool pool(3);
  const AttentionArgs both[] = {a.Args(4999, 5000, got_a),
                                b.Args(60, 70, got_b)};
  Attention(both, pool);
  EXPECT_EQ(got_a, want_a);
  EXPECT_EQ(got_b, want_b);
}

// One split is too little for three threads, so they share it.
TEST(AttentionDispatchTest, ThreadsThatShareASplitChangeNoBit) {
  for (int64_t length : {1, 40, 700, 1025}) {
    Problem problem(length, 8, 1, 256, 0, DType::kF32, 32, 4);
    std::vector<float> want, got;
    AttentionWith(AttentionVariants().front(),
                  problem.Args(length - 1, length, want));
    ThreadPool pool(3);
    const AttentionArgs args = problem.Args(length - 1, length, got);
    Attention(absl::MakeConstSpan(&args, 1), pool);
    EXPECT_EQ(got, want) << length;
  }
}

// A rank that holds query heads [3, 6) of 8 reads the right KV heads.
TEST(AttentionDispatchTest, HeadOffsetPicksTheKvHead) {
  Problem problem(40, 8, 4, 16, 0, DType::kF32, 32, 3);
  std::vector<float> all, some;
  AttentionWith(AttentionVariants().front(), problem.Args(39, 40, all));
  AttentionArgs args = problem.Args(39, 40, some);
  args.q += 3 * 16;
  args.query_heads = 3;
  args.query_head_offset = 3;
  // Its pages hold KV heads 1 and 2 alone.
  std::vector<float> k(2 * 2 * 32 * 16), v(k.size());
  for (int page = 0; page < 2; ++page) {
    for (int h = 0; h < 2; ++h) {
      for (int i = 0; i < 32 * 16; ++i) {
        k[(page * 2 + h) * 512 + i] =
            problem.k_f32[page * problem.page_stride + (h + 1) * 512 + i];
        v[(page * 2 + h) * 512 + i] =
            problem.v_f32[page * problem.page_stride + (h + 1) * 512 + i];
      }
    }
  }
  args.kv_heads = 2;
  args.page_stride = 0;
  args.k = k.data();
  args.v = v.data();
  AttentionWith(AttentionVariants().front(), args);
  for (int i = 0; i < 3 * 16; ++i) EXPECT_EQ(some[i], all[3 * 16 + i]) << i;
}

}  // namespace
}  // namespace facet
