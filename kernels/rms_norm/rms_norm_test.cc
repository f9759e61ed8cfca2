#include "kernels/rms_norm/rms_norm.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

struct Problem {
  Problem(int64_t rows, int64_t width, uint32_t seed)
      : rows(rows),
        width(width),
        x(rows * width),
        weight(width),
        residual(rows * width) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (auto* values : {&x, &weight, &residual}) {
      for (float& v : *values) v = normal(random);
    }
  }

  RmsNormArgs Args(std::vector<float>& y) const {
    y.assign(rows * width, -1.0f);
    RmsNormArgs args;
    args.rows = rows;
    args.width = width;
    args.x = x.data();
    args.x_stride = width;
    args.weight = weight.data();
    args.y = y.data();
    args.y_stride = width;
    return args;
  }

  int64_t rows, width;
  std::vector<float> x, weight, residual;
};

class RmsNormTest : public testing::TestWithParam<RmsNormVariant> {};

TEST_P(RmsNormTest, HasTheReferencesBitsAtEveryWidthAndWithEveryOption) {
  const RmsNormVariant& reference = RmsNormVariants().back();
  uint32_t seed = 0;
  for (int64_t width : {1, 7, 15, 16, 17, 31, 64, 100, 256, 512, 1536, 5376}) {
    for (int options = 0; options < 8; ++options) {
      Problem problem(3, width, ++seed);
      std::vector<float> want, got;
      const auto run = [&](const RmsNormVariant& variant,
                           std::vector<float>& y) {
        RmsNormArgs args = problem.Args(y);
        if (options & 1) args.weight = nullptr;
        if (options & 2) args.residual = problem.residual.data();
        if (options & 4) args.output_scale = 0.37f;
        variant.run(args, 0, args.rows);
      };
      run(reference, want);
      run(GetParam(), got);
      ASSERT_EQ(got, want) << "width " << width << " options " << options;
    }
  }
}

// Three roundings per element after the sum, whose relative error is at most
// width / 16 + 4 roundings, halved by the root.
TEST_P(RmsNormTest, StaysWithinRoundingOfTheFormulaInF64) {
  for (int64_t width : {16, 256, 5376}) {
    Problem problem(2, width, 99);
    std::vector<float> y;
    const RmsNormArgs args = problem.Args(y);
    GetParam().run(args, 0, args.rows);
    for (int64_t t = 0; t < args.rows; ++t) {
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) {
        squares += std::pow(double{problem.x[t * width + i]}, 2);
      }
      const double inverse = 1 / std::sqrt(squares / width + 1e-6f);
      for (int64_t i = 0; i < width; ++i) {
        const double want =
            problem.x[t * width + i] * inverse * problem.weight[i];
        const double roundings = 6 + (width / 16 + 4) / 2.0;
        EXPECT_NEAR(y[t * width + i], want,
                    roundings * std::ldexp(1.0, -24) * std::fabs(want));
      }
    }
  }
}

TEST_P(RmsNormTest, RowBitsDoNotDependOnBatchSize) {
  Problem problem(64, 1536, 7);
  std::vector<float> all, one;
  const RmsNormArgs args = problem.Args(all);
  GetParam().run(args, 0, args.rows);
  for (int64_t row : {0, 1, 31, 63}) {
    RmsNormArgs single = problem.Args(one);
    single.rows = 1;
    single.x += row * single.x_stride;
    GetParam().run(single, 0, 1);
    for (int64_t i = 0; i < 1536; ++i) {
      ASSERT_EQ(one[i], all[row * 1536 + i]) << row << " " << i;
    }
  }
}

TEST_P(RmsNormTest, OutputMayOverwriteInputOrResidual) {
  Problem problem(5, 300, 11);
  std::vector<float> want;
  RmsNormArgs args = problem.Args(want);
  args.residual = problem.residual.data();
  GetParam().run(args, 0, args.rows);

  std::vector<float> x = problem.x;
  args.x = x.data();
  args.y = x.data();
  GetParam().run(args, 0, args.rows);
  EXPECT_EQ(x, want);

  std::vector<float> residual = problem.residual;
  args.x = problem.x.data();
  args.residual = residual.data();
  args.y = residual.data();
  GetParam().run(args, 0, args.rows);
  EXPECT_EQ(residual, want);
}

TEST_P(RmsNormTest, WritesNothingBetweenStridedRows) {
  constexpr int64_t kWidth = 20, kStride = 29;
  Problem problem(4, kStride, 5);
  std::vector<float> y;
  RmsNormArgs args = problem.Args(y);
  args.width = kWidth;
  GetParam().run(args, 0, args.rows);
  for (int64_t t = 0; t < args.rows; ++t) {
    for (int64_t i = kWidth; i < kStride; ++i) {
      EXPECT_EQ(y[t * kStride + i], -1.0f);
    }
  }
}

TEST_P(RmsNormTest, ARowOfZerosStaysZero) {
  std::vector<float> x(48, 0.0f), y(48, 1.0f);
  RmsNormArgs args;
  args.rows = 1;
  args.width = args.x_stride = args.y_stride = 48;
  args.x = x.data();
  args.y = y.data();
  GetParam().run(args, 0, 1);
  EXPECT_EQ(y, x);
}

INSTANTIATE_TEST_SUITE_P(AllVariants, RmsNormTest,
                         testing::ValuesIn(RmsNormVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(RmsNormDispatchTest, ThreadsChangeNoBit) {
  Problem problem(257, 512, 3);
  std::vector<float> one, three;
  ThreadPool one_thread(1), three_threads(3);
  RmsNorm(problem.Args(one), one_thread);
  RmsNorm(problem.Args(three), three_threads);
  EXPECT_EQ(one, three);
}

}  // namespace
}  // namespace facet
