// What a backend of --numerics=fast does otherwise: sums in an order that is
// not the contract's, of the same rounded inputs. On the emulation, or on a GPU
// with its own library.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/device_test.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace {

BackendLimits FastLimits() {
  BackendLimits limits;
  limits.tokens = 320;
  limits.head_dim = 64;
  limits.fast = true;
  limits.widest_input = 512;
  limits.experts_per_token = 8;
  limits.experts = 24;
  limits.hidden = 208;
  limits.expert_width = 168;
  return limits;
}

double Gelu(double x) {
  return 0.5 * x *
         (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

class FastTest : public DeviceTest {
 protected:
  FastTest() : DeviceTest(FastLimits()) {}

  struct Shape {
    int64_t m, n, k;
    bool gated = false;
    int segments = 1;
    // Of each row, elements that belong to nobody.
    int64_t x_gap = 0, w_gap = 0, y_gap = 0;
    bool gathered = false;
  };

  // Expects y to be the sums of rounded inputs within f32 rounding, and what
  // lies between its rows to be as it was.
  void CheckProduct(const Shape& s, bool by_library, const std::string& what) {
    MatmulArgs args;
    args.m = s.m;
    args.n = s.n;
    args.k = s.k;
    args.x_stride = s.k + s.x_gap;
    args.w_stride = s.k + s.w_gap;
    args.y_stride = s.n + s.y_gap;
    args.segments = s.segments;
    args.bf16_inputs = true;
    const int64_t rows_of_x = s.gathered ? s.m + 5 : s.m;
    std::vector<float> x = Random(rows_of_x * args.x_stride);
    const std::vector<BF16> w =
        RandomBF16((s.gated ? 2 : 1) * s.n * args.w_stride);
    std::vector<float> y(s.m * args.y_stride, -77.0f);
    std::vector<int32_t> rows(s.m);
    for (int64_t i = 0; i < s.m; ++i) {
      rows[i] = static_cast<int32_t>(s.gathered ? (i * 7 + 3) % rows_of_x : i);
    }
    args.x = OnDevice(x);
    args.w = OnDevice(w);
    if (s.gated) {
      args.up = static_cast<const BF16*>(args.w) + s.n * args.w_stride;
    }
    if (s.gathered) args.x_rows = OnDevice(rows);
    args.y = OnDevice(y);
    const int64_t before = cuda_count();
    gpu_->Matmuls("test", {&args, 1});
    const std::vector<float> found =
        FromDevice(args.y, static_cast<int64_t>(y.size()));
    EXPECT_EQ(cuda_count() - before, by_library && HasLibrary() ? 1 : 0)
        << what;

    for (float& value : x) value = ToFloat(ToBF16(value));
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < args.y_stride; ++j) {
        const float got = found[i * args.y_stride + j];
        if (j >= s.n) {
          ASSERT_EQ(got, -77.0f) << what << ": behind row " << i;
          continue;
        }
        double sums[2] = {}, sizes[2] = {};
        for (int half = 0; half < (s.gated ? 2 : 1); ++half) {
          const float* of_x = &x[rows[i] * args.x_stride];
          const BF16* of_w = &w[(half * s.n + j) * args.w_stride];
          for (int64_t d = 0; d < s.k; ++d) {
            const double term = double{of_x[d]} * ToFloat(of_w[d]);
            sums[half] += term;
            sizes[half] += std::fabs(term);
          }
        }
        // k additions, each within half a unit of the last place.
        const double slack = static_cast<double>(s.k) * 0x1p-24;
        double expected = sums[0], bound = slack * sizes[0];
        if (s.gated) {
          const double gelu = Gelu(sums[0]);
          expected = gelu * sums[1];
          // The slope of gelu stays below 1.2.
          bound = 1.2 * slack * sizes[0] * std::fabs(sums[1]) +
                  slack * sizes[1] * std::fabs(gelu) +
                  1e-5 * std::fabs(expected) + 1e-5;
        }
        ASSERT_NEAR(got, expected, bound) << what << " at " << i << ", " << j;
      }
    }
  }
  // Always on the emulation; a GPU's machine may have none.
  static bool HasLibrary() { return FACET_CUDA::FindCublas().ok(); }
  int64_t cuda_count() const { return FACET_CUDA::LibraryProductsOf(*gpu_); }
};

TEST_F(FastTest, ProductsOfManyRowsAreTheLibrarys) {
  CheckProduct({128, 48, 64}, true, "even");
  CheckProduct({131, 37, 53}, true, "odd");
  CheckProduct({300, 5, 512}, true, "narrow");
  CheckProduct({130, 40, 64, false, 1, 4, 8, 3}, true, "with gaps");
  CheckProduct({129, 33, 47, false, 1, 3, 5, 2}, true, "with odd gaps");
  CheckProduct({140, 24, 96, false, 1, 0, 0, 0, true}, true, "gathered rows");
  CheckProduct({140, 24, 96, false, 8}, true, "segments in one sum");
}

TEST_F(FastTest, GatedProductsOfManyRows) {
  CheckProduct({130, 44, 64, true}, true, "even");
  CheckProduct({129, 21, 40, true, 1, 1, 3, 2, true}, true, "odd, gathered");
}

TEST_F(FastTest, ProductsOfFewRowsAreFacets) {
  CheckProduct({127, 32, 64}, false, "one row less");
  CheckProduct({1, 32, 64}, false, "one row");
}

TEST_F(FastTest, WhatDoesNotFitTheBufferOfRoundedInputsIsFacets) {
  CheckProduct({321, 16, 512}, false, "more tokens than a step has");
}

// q, k and v, or a feed-forward block's: whoever reads the same x.
TEST_F(FastTest, ProductsThatShareTheirInputRoundItOnce) {
  if (!HasLibrary()) GTEST_SKIP() << "no cuBLAS on this machine";
  const int64_t m = 128, k = 64;
  float* x = OnDevice(Random(m * k));
  std::vector<MatmulArgs> products(3);
  std::vector<float*> y;
  for (size_t p = 0; p < products.size(); ++p) {
    MatmulArgs& args = products[p];
    args.m = m;
    args.n = args.y_stride = 16 + static_cast<int64_t>(p) * 8;
    args.k = args.x_stride = args.w_stride = k;
    args.bf16_inputs = true;
    args.x = x;
    args.w = OnDevice(RandomBF16(args.n * k));
    args.y = OnDevice(std::vector<float>(m * args.n));
  }
  EXPECT_EQ(KernelsOf([&] { gpu_->Matmuls("test", products); }), 1);
  std::vector<std::vector<float>> together;
  for (const MatmulArgs& args : products) {
    together.push_back(FromDevice(args.y, m * args.n));
  }
  for (size_t p = 0; p < products.size(); ++p) {
    gpu_->Matmuls("test", {&products[p], 1});
    ExpectSameBits(FromDevice(products[p].y, m * products[p].n), together[p],
                   "product " + std::to_string(p));
  }
}

// A router reads f32 whatever the mode: its product keeps the contract's bits,
// beside one that does not.
TEST_F(FastTest, ProductsWhoseInputsAreNotRoundedKeepTheirBits) {
  const int64_t m = 150, n = 16, k = 64;
  const std::vector<float> x = Random(m * k);
  const std::vector<BF16> w = RandomBF16(n * k);
  std::vector<float> y(m * n);
  MatmulArgs args;
  args.m = m;
  args.n = args.y_stride = n;
  args.k = args.x_stride = args.w_stride = k;
  MatmulArgs gpu[2] = {args, args};
  gpu[0].x = gpu[1].x = OnDevice(x);
  gpu[0].w = gpu[1].w = OnDevice(w);
  gpu[0].y = OnDevice(y);
  gpu[1].y = OnDevice(y);
  gpu[0].bf16_inputs = true;
  args.x = x.data(), args.w = w.data(), args.y = y.data();
  cpu_->Matmuls("test", {&args, 1});
  const int64_t before = cuda_count();
  gpu_->Matmuls("test", gpu);
  EXPECT_EQ(cuda_count() - before, HasLibrary() ? 1 : 0);
  ExpectSameBits(FromDevice(gpu[1].y, m * n), y, "router");
}

// Two products and the gated GELU between them, as per-layer embeddings have
// it: each comes behind what it reads, though the library is called at once.
TEST_F(FastTest, ProductsRunInTheOrderOfTheOtherOperations) {
  const int64_t m = 128, hidden = 64, width = 32;
  const std::vector<float> x = Random(m * hidden), up = Random(m * width);
  const std::vector<BF16> first_w = RandomBF16(width * hidden),
                          second_w = RandomBF16(hidden * width);
  MatmulArgs first;
  first.m = m;
  first.n = first.y_stride = width;
  first.k = first.x_stride = first.w_stride = hidden;
  first.bf16_inputs = true;
  first.x = OnDevice(x);
  first.w = OnDevice(first_w);
  first.y = OnDevice(std::vector<float>(m * width));
  GatedGeluArgs gelu;
  gelu.rows = m;
  gelu.width = gelu.gate_stride = gelu.up_stride = gelu.y_stride = width;
  gelu.gate = gelu.y = first.y;
  gelu.up = OnDevice(up);
  MatmulArgs second = first;
  second.n = second.y_stride = hidden;
  second.k = second.x_stride = second.w_stride = width;
  second.x = first.y;
  second.w = OnDevice(second_w);
  second.y = OnDevice(std::vector<float>(m * hidden));
  gpu_->Scale("test", {const_cast<float*>(first.x), x.size()}, 0.5f);
  gpu_->Matmuls("test", {&first, 1});
  gpu_->GatedGelu("test", gelu);
  gpu_->Matmuls("test", {&second, 1});
  gpu_->Scale("test", {second.y, static_cast<size_t>(m * hidden)}, 2.0f);
  const std::vector<float> found = FromDevice(second.y, m * hidden);

  const auto rounded = [](float value) { return ToFloat(ToBF16(value)); };
  for (int64_t i = 0; i < m; i += 9) {
    std::vector<double> gated(width);
    for (int64_t j = 0; j < width; ++j) {
      double sum = 0;
      for (int64_t d = 0; d < hidden; ++d) {
        sum += double{rounded(0.5f * x[i * hidden + d])} *
               ToFloat(first_w[j * hidden + d]);
      }
      gated[j] = Gelu(sum) * up[i * width + j];
    }
    for (int64_t j = 0; j < hidden; ++j) {
      double sum = 0, size = 0;
      for (int64_t d = 0; d < width; ++d) {
        const double term = gated[d] * ToFloat(second_w[j * width + d]);
        sum += term;
        size += std::fabs(term);
      }
      // The gated values are rounded to eight bits on their way.
      ASSERT_NEAR(found[i * hidden + j], 2 * sum, 2 * size * 0x1p-8)
          << i << ", " << j;
    }
  }
}

// Mode bf16-tensor has large tiles for many rows and small ones for few. Which
// ones shows in no bit.
class RoundedTest : public DeviceTest {
 protected:
  RoundedTest() : DeviceTest(RoundedLimits()) {}
  static BackendLimits RoundedLimits() {
    BackendLimits limits;
    limits.tokens = 200;
    limits.head_dim = 64;
    limits.widest_input = 320;
    return limits;
  }
};

TEST_F(RoundedTest, RowsOfLargeTilesHaveTheBitsOfSmallOnes) {
  struct Case {
    int64_t m, n, k;
    int segments;
    bool gated;
    int kernels;  // rounding, product, sums of segments
  };
  const Case cases[] = {
      {131, 6302, 80, 1, false, 2},      // no whole tiles or chunks
      {129, 256 * 48, 16, 1, false, 2},  // the largest tiles
      {129, 3104, 16, 1, true, 2},       // gates
      {128, 128 * 2, 320, 8, false, 3},  // parts of 40: no whole steps
      {129, 128 * 6, 128, 8, false, 3},  // parts of 16
  };
  for (const Case& c : cases) {
    SCOPED_TRACE("n " + std::to_string(c.n) + ", k " + std::to_string(c.k));
    MatmulArgs args;
    args.m = c.m;
    args.n = args.y_stride = c.n;
    args.k = args.x_stride = args.w_stride = c.k;
    args.segments = c.segments;
    args.bf16_inputs = true;
    args.x = OnDevice(Random(c.m * c.k));
    std::vector<BF16> w(c.n * c.k * (c.gated ? 2 : 1));
    for (BF16& value : w) {
      value = ToBF16(static_cast<float>(random_() % 4001) / 2000 - 1);
    }
    args.w = OnDevice(w);
    if (c.gated) args.up = static_cast<const BF16*>(args.w) + c.n * c.k;
    args.y = OnDevice(std::vector<float>(c.m * c.n));
    const bool large = c.k / c.segments % 16 == 0;
    EXPECT_EQ(KernelsOf([&] {
                gpu_->Matmuls("test", {&args, 1});
              }),
              large ? c.kernels : 1);
    const std::vector<float> many = FromDevice(args.y, c.m * c.n);
    // Rows from the first tile and the last.
    for (const int64_t first : {int64_t{0}, c.m - 3}) {
      MatmulArgs few = args;
      few.m = 3;
      few.x = args.x + first * c.k;
      EXPECT_EQ(KernelsOf([&] { gpu_->Matmuls("test", {&few, 1}); }), 1);
      ExpectSameBits(FromDevice(args.y, 3 * c.n),
                     std::vector<float>(many.begin() + first * c.n,
                                        many.begin() + (first + 3) * c.n),
                     "rows from " + std::to_string(first));
    }
  }
}

struct ExpertsCase {
  int64_t tokens, hidden, width;
  int all_experts, first_expert, experts;
  int k = 2;
  int replicas = 1, replica = 0;
  bool skewed = false;  // most tokens choose the same
};

// Within f32 rounding of sums of rounded values, and one rounding to bf16 of
// what lies between the two products.
TEST_F(FastTest, ExpertsOfManyTokensAreOnTensorCores) {
  const ExpertsCase cases[] = {
      {128, 64, 64, 4, 0, 4},
      {130, 72, 40, 5, 0, 5, 3},                // no whole chunks or tiles
      {150, 128, 168, 3, 0, 3, 2, 1, 0, true},  // more than a tile of one
      {140, 208, 72, 24, 8, 8, 8},              // of several ranks' experts
      {141, 64, 24, 6, 2, 4, 3, 2, 1},          // and of several replicas
      {320, 40, 136, 2, 0, 2, 1, 1, 0, true},   // two tiles and a bit
      {200, 64, 136, 24, 0, 24, 8},             // choices of two blocks
  };
  for (const ExpertsCase& c : cases) {
    SCOPED_TRACE("tokens " + std::to_string(c.tokens) + ", hidden " +
                 std::to_string(c.hidden));
    const std::vector<float> x = Random(c.tokens * c.hidden);
    const std::vector<BF16> gate_up =
        RandomBF16(c.experts * 2 * c.width * c.hidden, 0.3f);
    const std::vector<BF16> down =
        RandomBF16(c.experts * c.hidden * c.width, 0.3f);
    std::vector<int32_t> chosen(c.tokens * c.k);
    for (int64_t t = 0; t < c.tokens; ++t) {
      const int begin = c.skewed && t % 7 != 0
                            ? 0
                            : static_cast<int>(random_() % c.all_experts);
      for (int j = 0; j < c.k; ++j) {
        chosen[t * c.k + j] = (begin + j) % c.all_experts;
      }
    }
    std::vector<float> weights = Random(c.tokens * c.k, 0.5f);
    ExpertsArgs args;
    args.tokens = c.tokens;
    args.hidden = args.gate_up_stride = c.hidden;
    args.width = args.down_stride = c.width;
    args.experts_per_token = c.k;
    args.first_expert = c.first_expert;
    args.experts = c.experts;
    args.replicas = c.replicas;
    args.replica = c.replica;
    args.bf16_inputs = true;
    args.x = OnDevice(x);
    args.chosen = OnDevice(chosen);
    args.weights = OnDevice(weights);
    args.gate_up = OnDevice(gate_up);
    args.down = OnDevice(down);
    args.y = OnDevice(std::vector<float>(c.tokens * c.hidden));
    // Grouping, one kernel or two, rounding, two products, and sums.
    const int64_t choices = c.tokens * c.k;
    EXPECT_EQ(KernelsOf([&] { gpu_->Experts("test", args); }),
              choices > 1024 ? 6 : 5);
    const std::vector<float> found = FromDevice(args.y, c.tokens * c.hidden);

    for (int64_t t = 0; t < c.tokens; t += 1 + t % 5) {
      std::vector<double> sums(c.hidden), bounds(c.hidden);
      for (int j = 0; j < c.k; ++j) {
        const int64_t e = chosen[t * c.k + j] - c.first_expert;
        if (e < 0 || e >= c.experts || t % c.replicas != c.replica) continue;
        std::vector<double> gated(c.width);
        const auto dot = [&](int64_t row) {
          double sum = 0;
          for (int64_t d = 0; d < c.hidden; ++d) {
            sum += double{ToFloat(ToBF16(x[t * c.hidden + d]))} *
                   ToFloat(gate_up[(e * 2 * c.width + row) * c.hidden + d]);
          }
          return sum;
        };
        for (int64_t i = 0; i < c.width; ++i) {
          gated[i] = Gelu(dot(i)) * dot(c.width + i);
        }
        const double weight = weights[t * c.k + j];
        for (int64_t d = 0; d < c.hidden; ++d) {
          double sum = 0, size = 0;
          for (int64_t i = 0; i < c.width; ++i) {
            const double term =
                gated[i] * ToFloat(down[(e * c.hidden + d) * c.width + i]);
            sum += term;
            size += std::fabs(term);
          }
          sums[d] += weight * sum;
          bounds[d] += std::fabs(weight) * size;
        }
      }
      for (int64_t d = 0; d < c.hidden; ++d) {
        // Half a unit of the last of eight bits, and room for what moved it
        // over an edge.
        ASSERT_NEAR(found[t * c.hidden + d], sums[d],
                    bounds[d] * 0x1.01p-8 + 1e-5)
            << "token " << t << ", " << d;
      }
    }
  }
}

// Decoding keeps the streaming loop, and rounds nothing in it: the bits are
// those of every mode.
TEST_F(FastTest, ExpertsOfFewTokensAreExact) {
  const int64_t tokens = 20, hidden = 64, width = 32, experts = 6;
  const int k = 3;
  const std::vector<float> x = Random(tokens * hidden),
                           weights = Random(tokens * k);
  const std::vector<BF16> gate_up = RandomBF16(experts * 2 * width * hidden),
                          down = RandomBF16(experts * hidden * width);
  std::vector<int32_t> chosen(tokens * k);
  for (size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = static_cast<int32_t>((i + i / k) % experts);
  }
  std::vector<float> y(tokens * hidden);
  ExpertsArgs args;
  args.tokens = tokens;
  args.hidden = args.gate_up_stride = hidden;
  args.width = args.down_stride = width;
  args.experts_per_token = k;
  args.experts = experts;
  ExpertsArgs gpu = args;
  gpu.bf16_inputs = true;
  args.x = x.data(), args.chosen = chosen.data();
  args.weights = weights.data(), args.y = y.data();
  args.gate_up = gate_up.data(), args.down = down.data();
  gpu.x = OnDevice(x), gpu.chosen = OnDevice(chosen);
  gpu.weights = OnDevice(weights), gpu.y = OnDevice(y);
  gpu.gate_up = OnDevice(gate_up), gpu.down = OnDevice(down);
  cpu_->Experts("test", args);
  gpu_->Experts("test", gpu);
  ExpectSameBits(FromDevice(gpu.y, tokens * hidden), y, "experts");
}

}  // namespace
}  // namespace facet
