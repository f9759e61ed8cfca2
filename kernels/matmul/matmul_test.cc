#include "kernels/matmul/matmul.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/gated_gelu/gated_gelu.h"

namespace facet {
namespace {

struct Problem {
  Problem(int64_t m, int64_t n, int64_t k, DType dtype, uint32_t seed)
      : m(m), n(n), k(k), dtype(dtype), x(m * k), w(n * k), w_bf16(n * k) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    for (int64_t i = 0; i < n * k; ++i) {
      w_bf16[i] = ToBF16(normal(random));
      w[i] = ToFloat(w_bf16[i]);
    }
  }

  MatmulArgs Args(std::vector<float>& y, int segments = 1) const {
    y.assign(m * n, -1.0f);
    MatmulArgs args;
    args.m = m;
    args.n = n;
    args.k = k;
    args.x = x.data();
    args.x_stride = k;
    args.w = dtype == DType::kBF16 ? static_cast<const void*>(w_bf16.data())
                                   : w.data();
    args.w_dtype = dtype;
    args.w_stride = k;
    args.segments = segments;
    args.y = y.data();
    args.y_stride = n;
    return args;
  }

  int64_t m, n, k;
  DType dtype;
  std::vector<float> x, w;
  std::vector<BF16> w_bf16;
};

// Block by block, each announcing the next.
std::vector<float> RunVariant(const MatmulVariant& variant, MatmulArgs args,
                              const std::vector<float>& y) {
  std::vector<float> scratch(MatmulScratchFloats(args));
  const int64_t row_bytes = args.w_stride * SizeOf(args.w_dtype);
  for (int64_t n = 0; n < args.n; n += 48) {
    MatmulStream stream;
    stream.fetched = n > 0;
    if (n + 48 < args.n) {
      stream.next = static_cast<const uint8_t*>(args.w) + (n + 48) * row_bytes;
      stream.next_rows = std::min<int64_t>(args.n - n - 48, 48);
      stream.next_stride = row_bytes;
    }
    variant.run(args, n, std::min(args.n, n + 48), stream, scratch.data());
  }
  return y;
}

class MatmulTest : public testing::TestWithParam<MatmulVariant> {};

TEST_P(MatmulTest, HasTheReferencesBitsOnEveryShape) {
  const MatmulVariant& reference = MatmulVariants().back();
  uint32_t seed = 1;
  for (int64_t m : {1, 2, 3, 4, 5, 9, 16, 17}) {
    for (int64_t n : {1, 5, 6, 12, 13, 100}) {
      for (int64_t k : {8, 16, 24, 40, 96, 1040}) {
        for (int segments : {1, 2, 8}) {
          for (DType dtype : {DType::kBF16, DType::kF32}) {
            Problem problem(m, n, k, dtype, ++seed);
            std::vector<float> want, got;
            MatmulArgs args = problem.Args(want, segments);
            want = RunVariant(reference, args, want);
            args = problem.Args(got, segments);
            got = RunVariant(GetParam(), args, got);
            ASSERT_EQ(got, want) << m << "x" << n << "x" << k << " segments "
                                 << segments << " " << Name(dtype);
          }
        }
      }
    }
  }
}

TEST_P(MatmulTest, WhereWeightsLieAndHowTheyAreCutIntoBlocksChangesNoBit) {
  const Problem problem(7, 100, 1040, DType::kBF16, 11);
  std::vector<float> want, got;
  MatmulArgs args = problem.Args(want, 2);
  want = RunVariant(MatmulVariants().back(), args, want);
  // Rows of 1043 numbers, the first at an odd place.
  constexpr int64_t kStride = 1043;
  std::vector<BF16> apart(100 * kStride + 1);
  for (int64_t j = 0; j < 100; ++j) {
    std::copy_n(problem.w_bf16.begin() + j * 1040, 1040,
                apart.begin() + 1 + j * kStride);
  }
  args = problem.Args(got, 2);
  args.w = apart.data() + 1;
  args.w_stride = kStride;
  std::vector<float> scratch(MatmulScratchFloats(args));
  int64_t n = 0;
  for (int64_t rows : {1, 7, 12, 30, 50}) {
    GetParam().run(args, n, n + rows, {}, scratch.data());
    n += rows;
  }
  EXPECT_EQ(got, want);
}

TEST_P(MatmulTest, RowBitsDoNotDependOnBatchSize) {
  Problem problem(33, 50, 768, DType::kBF16, 7);
  std::vector<float> all;
  const MatmulArgs args = problem.Args(all, 8);
  const std::vector<float> batch = RunVariant(GetParam(), args, all);
  for (int32_t row : {0, 1, 31, 32}) {
    std::vector<float> one(50);
    MatmulArgs single = args;
    single.m = 1;
    single.x_rows = &row;
    single.y = one.data();
    one = RunVariant(GetParam(), single, one);
    EXPECT_EQ(one, std::vector<float>(batch.begin() + row * 50,
                                      batch.begin() + (row + 1) * 50));
  }
}

// Rounding x to bf16 loses 2^-9 of each input at most; the sum of k products of
// unit normals then moves by a few 2^-9 * sqrt(k).
TEST_P(MatmulTest, RoundedInputsStayNearTheExactProduct) {
  Problem problem(5, 37, 1056, DType::kBF16, 3);
  std::vector<float> want, got;
  MatmulArgs args = problem.Args(want);
  want = RunVariant(MatmulVariants().back(), args, want);
  args = problem.Args(got);
  args.bf16_inputs = true;
  got = RunVariant(GetParam(), args, got);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 6 * std::ldexp(1.0, -9) * std::sqrt(1056.0));
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, MatmulTest,
                         testing::ValuesIn(MatmulVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(MatmulDispatchTest, GatedProductsAreTheirPartsOneAfterAnother) {
  for (const auto& [m, bf16_inputs] : {std::pair<int64_t, bool>{1, false},
                                      {5, false},
                                      {64, false},
                                      {200, false},
                                      {5, true},
                                      {200, true}}) {
    const Problem gate(m, 530, 96, DType::kBF16, 4);
    const Problem up(m, 530, 96, DType::kBF16, 5);
    ThreadPool pool(3);
    std::vector<float> want, other, got;
    MatmulArgs parts[] = {gate.Args(want), up.Args(other)};
    parts[1].x = gate.x.data();
    for (MatmulArgs& part : parts) part.bf16_inputs = bf16_inputs;
    Matmul(parts, pool);
    GatedGeluArgs gelu;
    gelu.rows = m;
    gelu.width = gelu.gate_stride = gelu.up_stride = gelu.y_stride = 530;
    gelu.gate = gelu.y = want.data();
    gelu.up = other.data();
    GatedGelu(gelu, pool);
    MatmulArgs args = gate.Args(got);
    args.up = up.w_bf16.data();
    args.bf16_inputs = bf16_inputs;
    Matmul(absl::MakeConstSpan(&args, 1), pool);
    EXPECT_EQ(got, want) << m << (bf16_inputs ? ", rounded" : "");
  }
}

// Several products of one input, of rows of it, and of another input.
TEST(MatmulDispatchTest, RoundedInputsAreThoseOfEachProductAlone) {
  const Problem a(40, 130, 256, DType::kBF16, 1);
  const Problem b(40, 66, 256, DType::kBF16, 2);
  const Problem c(9, 50, 96, DType::kBF16, 3);
  const std::vector<int32_t> rows = {3, 38, 4};
  ThreadPool pool(3);
  std::vector<float> y[3], alone[3];
  const auto args_of = [&](std::vector<float>* to) {
    std::vector<MatmulArgs> all = {a.Args(to[0], 4), b.Args(to[1]),
                                   c.Args(to[2])};
    all[1].x = a.x.data();
    all[1].x_rows = rows.data();
    all[1].m = 3;
    for (MatmulArgs& args : all) args.bf16_inputs = true;
    return all;
  };
  Matmul(args_of(y), pool);
  const MatmulVariant& variant = MatmulVariants().front();
  for (const MatmulArgs& args : args_of(alone)) {
    RunVariant(variant, args, {});
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(y[i], alone[i]) << i;
}

TEST(MatmulDispatchTest, ThreadsAndSharedRegionsChangeNoBit) {
  Problem a(7, 1000, 256, DType::kBF16, 1);
  Problem b(7, 130, 256, DType::kBF16, 2);
  std::vector<float> y_one, z_one;
  ThreadPool one(1);
  const MatmulArgs alone[] = {a.Args(y_one, 4), b.Args(z_one)};
  Matmul(alone, one);
  std::vector<float> y_three, z_three;
  ThreadPool three(3);
  const MatmulArgs together[] = {a.Args(y_three, 4), b.Args(z_three)};
  Matmul(together, three);
  EXPECT_EQ(y_one, y_three);
  EXPECT_EQ(z_one, z_three);
}

}  // namespace
}  // namespace facet
