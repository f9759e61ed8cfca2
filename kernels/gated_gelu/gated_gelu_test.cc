#include "kernels/gated_gelu/gated_gelu.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

struct Problem {
  Problem(int64_t rows, int64_t width, uint32_t seed)
      : rows(rows), width(width), gate(rows * width), up(rows * width) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    // Wide enough to meet both branches of tanh and its flat ends.
    for (float& v : gate) v = 4.0f * normal(random);
    for (float& v : up) v = normal(random);
  }

  GatedGeluArgs Args(std::vector<float>& y) const {
    y.assign(rows * width, -1.0f);
    GatedGeluArgs args;
    args.rows = rows;
    args.width = width;
    args.gate = gate.data();
    args.gate_stride = width;
    args.up = up.data();
    args.up_stride = width;
    args.y = y.data();
    args.y_stride = width;
    return args;
  }

  int64_t rows, width;
  std::vector<float> gate, up;
};

class GatedGeluTest : public testing::TestWithParam<GatedGeluVariant> {};

TEST_P(GatedGeluTest, HasTheReferencesBitsAtEveryWidth) {
  uint32_t seed = 0;
  for (int64_t width : {1, 5, 16, 17, 47, 64, 1000, 6144}) {
    Problem problem(3, width, ++seed);
    std::vector<float> want, got;
    GatedGeluVariants().back().run(problem.Args(want), 0, 3);
    GetParam().run(problem.Args(got), 0, 3);
    ASSERT_EQ(got, want) << width;
  }
}

// gelu's own error is a few epsilons of u, not of gelu(u): 1 + tanh cancels for
// negative u.
TEST_P(GatedGeluTest, StaysWithinRoundingOfTheFormulaInF64) {
  Problem problem(1, 4096, 17);
  std::vector<float> y;
  GetParam().run(problem.Args(y), 0, 1);
  for (int64_t i = 0; i < 4096; ++i) {
    const double u = problem.gate[i];
    const double inner = std::sqrt(2 / M_PI) * (u + 0.044715 * u * u * u);
    const double want = 0.5 * u * (1 + std::tanh(inner)) * problem.up[i];
    EXPECT_NEAR(y[i], want,
                4 * std::ldexp(1.0, -23) * std::fabs(u * problem.up[i]));
  }
}

TEST_P(GatedGeluTest, OutputMayOverwriteGateOrUp) {
  Problem problem(4, 333, 2);
  std::vector<float> want;
  GatedGeluArgs args = problem.Args(want);
  GetParam().run(args, 0, 4);
  std::vector<float> gate = problem.gate, up = problem.up;
  args.gate = args.y = gate.data();
  GetParam().run(args, 0, 4);
  EXPECT_EQ(gate, want);
  args.gate = problem.gate.data();
  args.up = args.y = up.data();
  GetParam().run(args, 0, 4);
  EXPECT_EQ(up, want);
}

TEST_P(GatedGeluTest, HugeGatesGiveThemselvesOrZero) {
  std::vector<float> gate = {1e4f, -1e4f, 1e20f, -1e20f, 3e38f, -3e38f, 0.0f};
  std::vector<float> up(gate.size(), 1.0f), y(gate.size());
  GatedGeluArgs args;
  args.rows = 1;
  args.width = static_cast<int64_t>(gate.size());
  args.gate = gate.data();
  args.up = up.data();
  args.y = y.data();
  GetParam().run(args, 0, 1);
  EXPECT_EQ(y, (std::vector<float>{1e4f, 0, 1e20f, 0, 3e38f, 0, 0}));
}

INSTANTIATE_TEST_SUITE_P(AllVariants, GatedGeluTest,
                         testing::ValuesIn(GatedGeluVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

// Threads may share one row.
TEST(GatedGeluDispatchTest, ThreadsChangeNoBit) {
  ThreadPool one_thread(1), three_threads(3);
  for (int64_t rows : {1, 2, 65}) {
    for (int64_t width : {40, 2048, 21505}) {
      Problem problem(rows, width, 3);
      std::vector<float> one, three;
      GatedGelu(problem.Args(one), one_thread);
      GatedGelu(problem.Args(three), three_threads);
      ASSERT_EQ(one, three) << rows << "x" << width;
      std::vector<float> want;
      GatedGeluVariants().front().run(problem.Args(want), 0, rows);
      ASSERT_EQ(one, want) << rows << "x" << width;
    }
  }
}

}  // namespace
}  // namespace facet
