// What a backend of --numerics=fast does otherwise: sums in an order that is
// not the contract's, of the same rounded inputs. On the emulation, or on a GPU
// with its own library.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/device_test.h"

namespace facet {
namespace {

BackendLimits FastLimits() {
  BackendLimits limits;
  limits.tokens = 320;
  limits.head_dim = 64;
  limits.fast = true;
  limits.widest_input = 512;
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
    EXPECT_EQ(cuda_count() - before, by_library ? 1 : 0) << what;

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
  EXPECT_EQ(cuda_count() - before, 1);
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

}  // namespace
}  // namespace facet
