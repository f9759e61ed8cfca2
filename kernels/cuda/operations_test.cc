// Every operation of the device against the processors', bit for bit: on the
// emulation, which runs the same kernels thread by thread, or on a GPU.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_test.h"

namespace facet {
namespace {

BackendLimits Limits() {
  BackendLimits limits;
  limits.tokens = 64;
  limits.head_dim = 512;
  limits.experts_per_token = 4;
  limits.experts = 16;
  limits.hidden = 128;
  limits.expert_width = 64;
  limits.logit_rows = 3;
  limits.vocab = 9000;
  return limits;
}

class OperationsTest : public DeviceTest {
 protected:
  OperationsTest() : DeviceTest(Limits()) {}

  // A product on both sides.
  void CheckProduct(MatmulArgs args, int64_t w_rows, bool bf16, bool gated,
                    const std::string& what) {
    const std::vector<float> x = Random(args.m * args.k);
    const std::vector<float> wide = Random(w_rows * args.k);
    std::vector<BF16> narrow;
    for (const float value : wide) narrow.push_back(ToBF16(value));
    std::vector<float> y(args.m * args.n);
    args.x_stride = args.w_stride = args.k;
    args.y_stride = args.n;
    args.w_dtype = bf16 ? DType::kBF16 : DType::kF32;
    MatmulArgs gpu = args;
    args.x = x.data();
    args.w = bf16 ? static_cast<const void*>(narrow.data()) : wide.data();
    args.y = y.data();
    gpu.x = OnDevice(x);
    gpu.w = bf16 ? static_cast<const void*>(OnDevice(narrow)) : OnDevice(wide);
    gpu.y = OnDevice(y);
    if (gated) {
      const int64_t offset = args.n * args.k * SizeOf(args.w_dtype);
      args.up = static_cast<const char*>(args.w) + offset;
      gpu.up = static_cast<const char*>(gpu.w) + offset;
    }
    cpu_->Matmuls("test", {&args, 1});
    gpu_->Matmuls("test", {&gpu, 1});
    ExpectSameBits(FromDevice(gpu.y, y.size()), y, what);
  }
};

TEST_F(OperationsTest, WeightsDrawnHereAreTheHosts) {
  for (const float bound : {0.125f, 0.0f}) {
    const RandomTensor tensor = {77, 5, bound};
    for (const RandomSlice& slice :
         {RandomSlice{0, 3, 700, 700}, RandomSlice{13, 5, 27, 61},
          RandomSlice{(int64_t{1} << 35) + 4, 300, 8, 16},
          RandomSlice{7, 2, 1, 9}, RandomSlice{0, 0, 5, 5}}) {
      std::vector<BF16> drawn(slice.rows * slice.cols);
      DrawOnHost(tensor, slice, drawn.data());
      BF16* y = OnDevice(std::vector<BF16>(drawn.size() + 1, ToBF16(3.0f)));
      const absl::Status status = device_->Draw(tensor, slice, y);
      ASSERT_TRUE(status.ok()) << status;
      // And not one more.
      drawn.push_back(ToBF16(3.0f));
      ExpectSameBits(FromDevice(y, drawn.size()), drawn, "drawn");
    }
  }
}

TEST_F(OperationsTest, ProductsOfAllShapes) {
  for (const int64_t m : {1, 2, 3, 5, 8, 13}) {
    for (const bool gated : {false, true}) {
      for (const int segments : {1, 4, 8}) {
        MatmulArgs args;
        args.m = m;
        args.n = 70;
        args.k = 16 * 9 * segments;
        args.segments = segments;
        CheckProduct(args, 140, /*bf16=*/true, gated,
                     "m " + std::to_string(m) + ", segments " +
                         std::to_string(segments));
      }
    }
  }
}

// Segments that end in half a round of lanes, as an eighth of 2112 does.
TEST_F(OperationsTest, ProductsOfSegmentsThatEndInHalfARound) {
  for (const int64_t m : {1, 3, 9}) {
    for (const int64_t part : {8, 24, 72, 264}) {
      MatmulArgs args;
      args.m = m;
      args.n = 37;
      args.k = 8 * part;
      args.segments = 8;
      CheckProduct(args, 37, /*bf16=*/true, /*gated=*/false,
                   "part " + std::to_string(part));
    }
  }
}

TEST_F(OperationsTest, ProductsThatCannotStream) {
  MatmulArgs args;
  args.m = 3;
  args.n = 21;
  args.k = 8 * 5;  // parts of 5 elements
  args.segments = 8;
  CheckProduct(args, 42, /*bf16=*/true, /*gated=*/true, "short parts");
  args.k = 100;
  args.segments = 1;
  CheckProduct(args, 42, /*bf16=*/false, /*gated=*/false, "f32 weights");
}

// f32 sums of k products of inputs rounded to bf16, in whatever order.
TEST_F(OperationsTest, TensorCoresAddWhatTheyShould) {
  for (const bool gated : {false, true}) {
    for (const int segments : {1, 2, 4, 8}) {
      if (gated && segments == 8) continue;  // too many strips: another loop
      const int64_t m = 70, n = 90, k = 16 * 7 * segments;
      const std::vector<float> x = Random(m * k);
      const std::vector<BF16> w = RandomBF16((gated ? 2 : 1) * n * k);
      std::vector<float> y(m * n);
      MatmulArgs args;
      args.m = m;
      args.n = args.y_stride = n;
      args.k = args.x_stride = args.w_stride = k;
      args.segments = segments;
      args.bf16_inputs = true;
      args.x = OnDevice(x);
      args.w = OnDevice(w);
      args.up = gated ? static_cast<const BF16*>(args.w) + n * k : nullptr;
      args.y = OnDevice(y);
      gpu_->Matmuls("test", {&args, 1});
      const std::vector<float> all = FromDevice(args.y, m * n);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sums[2] = {}, sizes[2] = {};
          for (int s = 0; s < (gated ? 2 : 1); ++s) {
            for (int64_t d = 0; d < k; ++d) {
              const double term = double{ToFloat(ToBF16(x[i * k + d]))} *
                                  ToFloat(w[(s * n + j) * k + d]);
              sums[s] += term;
              sizes[s] += std::fabs(term);
            }
          }
          // k additions, each within half a unit of the last place.
          const double slack = static_cast<double>(k) * 0x1p-24;
          double expected = sums[0], bound = slack * sizes[0];
          if (gated) {
            const double u = sums[0];
            const double gelu = 0.5 * u *
                                (1 + std::tanh(0.7978845608028654 *
                                               (u + 0.044715 * u * u * u)));
            expected = gelu * sums[1];
            // The slope of gelu stays below 1.2.
            bound = 1.2 * slack * sizes[0] * std::fabs(sums[1]) +
                    slack * sizes[1] * std::fabs(gelu) +
                    1e-5 * std::fabs(expected) + 1e-5;
          }
          ASSERT_NEAR(all[i * n + j], expected, bound)
              << i << ", " << j << ", segments " << segments;
        }
      }
      // A row's bits are the same alone, in a few and in many.
      for (const int64_t count : {1, 9, 20}) {
        args.m = count;
        gpu_->Matmuls("test", {&args, 1});
        ExpectSameBits(FromDevice(args.y, count * n),
                       std::vector<float>(all.begin(), all.begin() + count * n),
                       "rows of a batch of " + std::to_string(count));
      }
    }
  }
}

TEST_F(OperationsTest, NormsInAChain) {
  for (const int64_t width : {16, 40, 2816, 12000}) {
    const int64_t rows = 3;
    const std::vector<float> x = Random(rows * width), w = Random(width);
    std::vector<float> y = Random(rows * width), z(rows * width);
    RmsNormArgs first;
    first.rows = rows;
    first.width = first.x_stride = first.y_stride = width;
    first.weight = w.data();
    first.x = x.data();
    first.residual = first.y = y.data();
    first.output_scale = 0.37f;
    RmsNormArgs second = first;
    second.residual = nullptr;
    second.weight = nullptr;
    second.x = y.data();
    second.y = z.data();
    RmsNormArgs gpu[2] = {first, second};
    gpu[0].x = OnDevice(x);
    gpu[0].weight = OnDevice(w);
    gpu[0].residual = gpu[0].y = OnDevice(y);
    gpu[1].x = gpu[0].y;
    gpu[1].y = OnDevice(z);
    const RmsNormArgs cpu[2] = {first, second};
    cpu_->RmsNorms("test", cpu);
    gpu_->RmsNorms("test", gpu);
    ExpectSameBits(FromDevice(gpu[0].y, y.size()), y, "first");
    ExpectSameBits(FromDevice(gpu[1].y, z.size()), z, "second");
  }
}

TEST_F(OperationsTest, EmbeddingRotationAndTheElementwiseOnes) {
  const std::vector<BF16> table = RandomBF16(50 * 96);
  const std::vector<int32_t> rows = {3, 49, 0, 3};
  std::vector<float> y(4 * 80);
  EmbeddingArgs args;
  args.rows = rows;
  args.table = table.data();
  args.table_stride = 96;
  args.column = 7;
  args.width = args.y_stride = 80;
  args.scale = 3.3f;
  args.y = y.data();
  EmbeddingArgs gpu = args;
  gpu.table = OnDevice(table);
  gpu.y = OnDevice(y);
  cpu_->Embedding("test", args);
  gpu_->Embedding("test", gpu);
  ExpectSameBits(FromDevice(gpu.y, y.size()), y, "embedding");

  const std::vector<int64_t> positions = {0, 1, 77, 262143};
  const std::vector<float> frequencies = {1.0f, 0.3f, 0.001f};
  std::vector<float> cos(12), sin(12);
  float* gpu_cos = OnDevice(cos);
  float* gpu_sin = OnDevice(sin);
  cpu_->RopeTable("test", positions, frequencies, cos.data(), sin.data());
  gpu_->RopeTable("test", positions, frequencies, gpu_cos, gpu_sin);
  ExpectSameBits(FromDevice(gpu_cos, 12), cos, "cos");
  ExpectSameBits(FromDevice(gpu_sin, 12), sin, "sin");

  std::vector<float> values = Random(1000, 20);
  float* gpu_values = OnDevice(values);
  cpu_->Scale("test", absl::MakeSpan(values), 0.7f);
  gpu_->Scale("test", {gpu_values, values.size()}, 0.7f);
  cpu_->Softcap("test", absl::MakeSpan(values), 30.0f);
  gpu_->Softcap("test", {gpu_values, values.size()}, 30.0f);
  ExpectSameBits(FromDevice(gpu_values, 1000), values, "scale, softcap");

  for (const int parts : {1, 2, 8}) {
    const std::vector<float> x = Random(parts * 333);
    std::vector<float> sum(333);
    float* gpu_sum = OnDevice(sum);
    cpu_->AddParts("test", parts, x.data(), absl::MakeSpan(sum));
    gpu_->AddParts("test", parts, OnDevice(x), {gpu_sum, 333});
    ExpectSameBits(FromDevice(gpu_sum, 333), sum, "parts");
  }

  std::vector<float> gathered(2 * 100), up = Random(200);
  float* gpu_gathered = OnDevice(gathered);
  const std::vector<int64_t> picked = {9, 2};
  cpu_->GatherRows("test", picked, 100, values.data(), gathered.data());
  gpu_->GatherRows("test", picked, 100, gpu_values, gpu_gathered);
  GatedGeluArgs gelu;
  gelu.rows = 2;
  gelu.width = gelu.gate_stride = gelu.up_stride = gelu.y_stride = 100;
  GatedGeluArgs gpu_gelu = gelu;
  gelu.gate = gelu.y = gathered.data();
  gelu.up = up.data();
  gpu_gelu.gate = gpu_gelu.y = gpu_gathered;
  gpu_gelu.up = OnDevice(up);
  cpu_->GatedGelu("test", gelu);
  gpu_->GatedGelu("test", gpu_gelu);
  ExpectSameBits(FromDevice(gpu_gathered, 200), gathered, "gather, gelu");
}

// Writes pages through attention inputs, then attends to them.
TEST_F(OperationsTest, AttentionOverPagesOfAllKinds) {
  struct Case {
    int64_t first_position, tokens;
    int heads, kv_heads, offset, head_dim;
    int64_t window;
    DType dtype;
  };
  const Case cases[] = {
      {0, 1, 2, 1, 0, 32, 0, DType::kF32},
      {5, 7, 4, 2, 0, 64, 0, DType::kBF16},
      {40, 3, 8, 1, 0, 512, 0, DType::kBF16},
      {1500, 1, 4, 2, 0, 256, 100, DType::kBF16},
      {1020, 9, 2, 1, 0, 64, 0, DType::kF32},      // over a split's edge
      {2100, 1, 8, 1, 0, 64, 0, DType::kBF16},     // splits spread and merged
      {2047, 12, 3, 2, 1, 32, 1024, DType::kF32},  // heads cut in a group
  };
  for (const Case& c : cases) {
    const int page_tokens = 64;
    const int64_t keys = c.first_position + c.tokens;
    const int64_t pages = (keys + page_tokens - 1) / page_tokens;
    const int64_t page_floats = int64_t{c.kv_heads} * page_tokens * c.head_dim;
    const size_t element = SizeOf(c.dtype);
    std::vector<uint8_t> k_pages(pages * page_floats * element, 0xff);
    std::vector<uint8_t> v_pages = k_pages;
    // Pages in reverse, and all tokens through the operation in runs.
    std::vector<int32_t> table(pages);
    for (int64_t i = 0; i < pages; ++i) {
      table[i] = static_cast<int32_t>(pages - 1 - i);
    }
    const int pairs = c.head_dim / 4;
    AttentionInputsArgs in;
    in.query_heads = c.heads;
    in.kv_heads = c.kv_heads;
    in.head_dim = c.head_dim;
    in.rotated_pairs = pairs;
    in.kv_dtype = c.dtype;
    in.page_tokens = page_tokens;
    uint8_t* gpu_k_pages = OnDevice(k_pages);
    uint8_t* gpu_v_pages = OnDevice(v_pages);
    std::vector<float> q_last, q_norm = Random(c.head_dim),
                               k_norm = Random(c.head_dim);
    const float* gpu_q_norm = OnDevice(q_norm);
    const float* gpu_k_norm = OnDevice(k_norm);
    float* gpu_q_last = nullptr;
    for (int64_t at = 0; at < keys;) {
      const bool last = at == c.first_position;
      const int64_t count =
          last ? c.tokens : std::min<int64_t>(48, c.first_position - at);
      in.tokens = count;
      std::vector<float> q = Random(count * c.heads * c.head_dim, 0.1f),
                         k = Random(count * c.kv_heads * c.head_dim),
                         v = Random(count * c.kv_heads * c.head_dim),
                         cos = Random(count * pairs),
                         sin = Random(count * pairs);
      std::vector<int64_t> slots;
      for (int64_t p = at; p < at + count; ++p) {
        slots.push_back(int64_t{table[p / page_tokens]} * page_tokens +
                        p % page_tokens);
      }
      in.slots = slots.data();
      in.v_from_k = at % 2 == 1;
      AttentionInputsArgs gpu = in;
      in.cos = cos.data(), in.sin = sin.data();
      in.q = q.data(), in.k = k.data(), in.v = v.data();
      in.q_norm = q_norm.data(), in.k_norm = k_norm.data();
      in.k_pages = k_pages.data(), in.v_pages = v_pages.data();
      gpu.cos = OnDevice(cos), gpu.sin = OnDevice(sin);
      gpu.q = OnDevice(q), gpu.k = OnDevice(k), gpu.v = OnDevice(v);
      gpu.q_norm = gpu_q_norm, gpu.k_norm = gpu_k_norm;
      gpu.k_pages = gpu_k_pages, gpu.v_pages = gpu_v_pages;
      cpu_->AttentionInputs("test", in);
      gpu_->AttentionInputs("test", gpu);
      ExpectSameBits(FromDevice(gpu.q, q.size()), q, "q");
      if (last) {
        q_last = q;
        gpu_q_last = gpu.q;
      }
      at += count;
    }
    ExpectSameBits(FromDevice(gpu_k_pages, k_pages.size()), k_pages, "k pages");
    ExpectSameBits(FromDevice(gpu_v_pages, v_pages.size()), v_pages, "v pages");

    AttentionArgs args;
    args.tokens = c.tokens;
    args.first_position = c.first_position;
    args.query_heads = c.heads;
    args.kv_heads = c.kv_heads;
    args.heads_per_kv = (c.heads + c.offset + c.kv_heads - 1) / c.kv_heads;
    args.query_head_offset = c.offset;
    args.head_dim = c.head_dim;
    args.window = c.window;
    args.q_stride = args.y_stride = c.heads * c.head_dim;
    args.kv_dtype = c.dtype;
    args.page_tokens = page_tokens;
    args.first_page =
        c.window > 0 ? std::max<int64_t>(0, c.first_position - c.window + 1) /
                           page_tokens
                     : 0;
    args.pages = table.data() + args.first_page;
    std::vector<float> y(c.tokens * args.y_stride);
    AttentionArgs gpu = args;
    args.q = q_last.data(), args.y = y.data();
    args.k = k_pages.data(), args.v = v_pages.data();
    gpu.q = gpu_q_last, gpu.y = OnDevice(y);
    gpu.k = gpu_k_pages, gpu.v = gpu_v_pages;
    cpu_->Attention("test", {&args, 1});
    gpu_->Attention("test", {&gpu, 1});
    ExpectSameBits(FromDevice(gpu.y, y.size()), y,
                   "attention from " + std::to_string(c.first_position));
  }
}

// Of the rounded inputs, in whatever order; and the same bits for a token
// alone, a head alone and all of them together.
TEST_F(OperationsTest, AttentionOnTensorCoresIsWhatItShouldBe) {
  struct Case {
    int64_t first_position, tokens;
    int heads, kv_heads, head_dim;
    int64_t window;
  };
  const Case cases[] = {
      {0, 21, 4, 2, 256, 0},      // more rows than a tile, and less than one
      {3, 5, 8, 1, 512, 0},       // two tiles of the widest heads
      {100, 70, 1, 1, 64, 40},    // four tiles and a window
      {1021, 6, 2, 1, 64, 0},     // over a split's edge
      {2300, 2, 8, 2, 64, 1024},  // splits spread and merged
      {500, 1, 2, 1, 256, 96},    // one token behind a window
  };
  constexpr int kPageTokens = 64;
  for (const Case& c : cases) {
    const int64_t keys = c.first_position + c.tokens;
    const int64_t pages = (keys + kPageTokens - 1) / kPageTokens;
    const int64_t page_values = int64_t{c.kv_heads} * kPageTokens * c.head_dim;
    // What no key was written to holds NaNs.
    std::vector<BF16> k_pages(pages * page_values, BF16{0xffff});
    std::vector<BF16> v_pages = k_pages;
    std::vector<int32_t> table(pages);
    for (int64_t i = 0; i < pages; ++i) {
      table[i] = static_cast<int32_t>(pages - 1 - i);
    }
    const auto place = [&](int64_t key, int kv_head) {
      return table[key / kPageTokens] * page_values +
             (int64_t{kv_head} * kPageTokens + key % kPageTokens) * c.head_dim;
    };
    const int64_t first_key =
        c.window > 0 ? std::max<int64_t>(0, c.first_position - c.window + 1)
                     : 0;
    for (int64_t key = first_key; key < keys; ++key) {
      for (int h = 0; h < c.kv_heads; ++h) {
        for (int d = 0; d < c.head_dim; ++d) {
          k_pages[place(key, h) + d] = ToBF16(Random(1)[0]);
          v_pages[place(key, h) + d] = ToBF16(Random(1)[0]);
        }
      }
    }
    const int64_t stride = int64_t{c.heads} * c.head_dim;
    const std::vector<float> q = Random(
        c.tokens * stride, 1.5f / std::sqrt(static_cast<float>(c.head_dim)));
    AttentionArgs args;
    args.tokens = c.tokens;
    args.first_position = c.first_position;
    args.query_heads = c.heads;
    args.kv_heads = c.kv_heads;
    args.heads_per_kv = c.heads / c.kv_heads;
    args.head_dim = c.head_dim;
    args.window = c.window;
    args.bf16_inputs = true;
    args.q_stride = args.y_stride = stride;
    args.kv_dtype = DType::kBF16;
    args.page_tokens = kPageTokens;
    args.first_page = first_key / kPageTokens;
    args.pages = table.data() + args.first_page;
    args.q = OnDevice(q);
    args.k = OnDevice(k_pages);
    args.v = OnDevice(v_pages);
    args.y = OnDevice(std::vector<float>(c.tokens * stride));
    gpu_->Attention("test", {&args, 1});
    const std::vector<float> y = FromDevice(args.y, c.tokens * stride);

    for (int64_t t = 0; t < c.tokens; ++t) {
      const int64_t position = c.first_position + t;
      const int64_t begin =
          c.window > 0 ? std::max<int64_t>(0, position - c.window + 1) : 0;
      for (int h = 0; h < c.heads; ++h) {
        const int kv_head = h / args.heads_per_kv;
        const float* own = q.data() + t * stride + h * c.head_dim;
        std::vector<double> weights;
        double largest = -1e30, sum = 0;
        for (int64_t key = begin; key <= position; ++key) {
          double score = 0;
          for (int d = 0; d < c.head_dim; ++d) {
            score += double{ToFloat(ToBF16(own[d]))} *
                     ToFloat(k_pages[place(key, kv_head) + d]);
          }
          weights.push_back(score);
          largest = std::max(largest, score);
        }
        for (double& weight : weights)
          sum += weight = std::exp(weight - largest);
        for (int d = 0; d < c.head_dim; ++d) {
          double expected = 0, size = 0;
          for (int64_t key = begin; key <= position; ++key) {
            const double term = weights[key - begin] / sum *
                                ToFloat(v_pages[place(key, kv_head) + d]);
            expected += term;
            size += std::fabs(term);
          }
          // Each weight is rounded to eight bits, and so is their sum.
          ASSERT_NEAR(y[t * stride + h * c.head_dim + d], expected,
                      size * 0x1p-7 + 1e-6)
              << "dim " << c.head_dim << ", token " << t << ", head " << h;
        }
      }
    }

    // All heads of every third token, then all tokens of every head.
    for (int64_t t = 0; t < c.tokens; t += 3) {
      AttentionArgs one = args;
      one.tokens = 1;
      one.first_position += t;
      one.q += t * stride;
      one.y = OnDevice(std::vector<float>(stride));
      gpu_->Attention("test", {&one, 1});
      ExpectSameBits(FromDevice(one.y, stride),
                     std::vector<float>(y.begin() + t * stride,
                                        y.begin() + (t + 1) * stride),
                     "token " + std::to_string(t));
    }
    for (int h = 0; h < c.heads; h += 3) {
      AttentionArgs one = args;
      // As a rank of its own would, whose pages are those of one KV head.
      const int64_t kv_head = h / args.heads_per_kv;
      const int64_t first = kv_head * kPageTokens * c.head_dim;
      one.query_heads = one.kv_heads = 1;
      one.query_head_offset = h;
      one.k = static_cast<const BF16*>(args.k) + first;
      one.v = static_cast<const BF16*>(args.v) + first;
      one.page_stride = page_values;
      one.q += h * c.head_dim;
      one.y = OnDevice(std::vector<float>(c.tokens * stride));
      gpu_->Attention("test", {&one, 1});
      const std::vector<float> alone = FromDevice(one.y, c.tokens * stride);
      for (int64_t t = 0; t < c.tokens; ++t) {
        for (int d = 0; d < c.head_dim; ++d) {
          const float together = y[t * stride + h * c.head_dim + d];
          ASSERT_EQ(std::memcmp(&alone[t * stride + d], &together, 4), 0)
              << "head " << h << ", token " << t;
        }
      }
    }
  }
}

TEST_F(OperationsTest, RouterAndExperts) {
  for (const auto& [tokens, first, experts, per_shard, replicas] :
       std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t, int>>{
           {1, 0, 16, 2, 1},
           {9, 0, 16, 2, 1},
           {20, 8, 8, 4, 1},
           {7, 4, 4, 1, 2}}) {
    const int k = 4, all = 16;
    const int64_t hidden = 128, width = 64;
    const std::vector<float> logits = Random(tokens * all, 2),
                             scales = Random(all), x = Random(tokens * hidden);
    std::vector<float> p(tokens * all), weights(tokens * k);
    std::vector<int32_t> chosen(tokens * k);
    RouterArgs router;
    router.tokens = tokens;
    router.experts = all;
    router.experts_per_token = k;
    RouterArgs gpu_router = router;
    router.logits = logits.data(), router.per_expert_scale = scales.data();
    router.probabilities = p.data(), router.chosen = chosen.data();
    router.weights = weights.data();
    gpu_router.logits = OnDevice(logits);
    gpu_router.per_expert_scale = OnDevice(scales);
    gpu_router.probabilities = OnDevice(p);
    gpu_router.chosen = OnDevice(chosen);
    gpu_router.weights = OnDevice(weights);
    cpu_->Router("test", router);
    gpu_->Router("test", gpu_router);
    ExpectSameBits(FromDevice(gpu_router.probabilities, p.size()), p, "p");
    ExpectSameBits(FromDevice(gpu_router.chosen, chosen.size()), chosen, "k");
    ExpectSameBits(FromDevice(gpu_router.weights, weights.size()), weights,
                   "weights");

    const std::vector<BF16> gate_up = RandomBF16(experts * 2 * width * hidden),
                            down = RandomBF16(experts * hidden * width);
    std::vector<float> y(tokens * hidden);
    ExpertsArgs args;
    args.tokens = tokens;
    args.hidden = args.gate_up_stride = hidden;
    args.width = args.down_stride = width;
    args.experts_per_token = k;
    args.first_expert = first;
    args.experts = experts;
    args.experts_per_shard = per_shard;
    args.replicas = replicas;
    args.replica = replicas - 1;
    ExpertsArgs gpu = args;
    args.x = x.data(), args.y = y.data();
    args.chosen = chosen.data(), args.weights = weights.data();
    args.gate_up = gate_up.data(), args.down = down.data();
    gpu.x = OnDevice(x), gpu.y = OnDevice(y);
    gpu.chosen = gpu_router.chosen, gpu.weights = gpu_router.weights;
    gpu.gate_up = OnDevice(gate_up), gpu.down = OnDevice(down);
    cpu_->Experts("test", args);
    gpu_->Experts("test", gpu);
    ExpectSameBits(FromDevice(gpu.y, y.size()), y,
                   "experts of " + std::to_string(tokens) + " tokens");
  }
}

// A product and the gated GELU of its result are one kernel, in every loop.
TEST_F(OperationsTest, AProductGoesTogetherWithItsGatedGelu) {
  struct Case {
    int64_t m, n, k;
    bool bf16, rounded;
  };
  for (const Case& c :
       {Case{1, 40, 64, true, false}, Case{5, 40, 64, true, false},
        Case{3, 21, 40, false, false}, Case{9, 40, 64, true, true}}) {
    const std::vector<float> x = Random(c.m * c.k), up = Random(c.m * 2 * c.n);
    const std::vector<float> wide = Random(c.n * c.k);
    const std::vector<BF16> narrow = RandomBF16(c.n * c.k);
    MatmulArgs product;
    product.m = c.m;
    product.n = product.y_stride = c.n;
    product.k = product.x_stride = product.w_stride = c.k;
    product.bf16_inputs = c.rounded;
    product.w_dtype = c.bf16 ? DType::kBF16 : DType::kF32;
    product.x = OnDevice(x);
    product.w =
        c.bf16 ? static_cast<const void*>(OnDevice(narrow)) : OnDevice(wide);
    GatedGeluArgs gelu;
    gelu.rows = c.m;
    gelu.width = gelu.gate_stride = gelu.y_stride = c.n;
    gelu.up_stride = 2 * c.n;
    gelu.up = OnDevice(up) + 3;
    const auto run = [&](bool together) {
      float* y = OnDevice(std::vector<float>(c.m * c.n));
      product.y = y;
      gelu.gate = gelu.y = y;
      const int64_t kernels = KernelsOf([&] {
        gpu_->Matmuls("test", {&product, 1});
        if (!together) {
          EXPECT_TRUE(Drain().ok());
        }
        gpu_->GatedGelu("test", gelu);
      });
      EXPECT_EQ(kernels, together ? 1 : 2);
      return FromDevice(y, c.m * c.n);
    };
    ExpectSameBits(run(true), run(false), "m " + std::to_string(c.m));
    // Of another product it is not.
    gelu.gate = gelu.y = OnDevice(x);
    EXPECT_EQ(KernelsOf([&] {
                gpu_->Matmuls("test", {&product, 1});
                gpu_->GatedGelu("test", gelu);
              }),
              2);
  }
}

// Of a step of few tokens: routing goes with grouping, sums with norms.
TEST_F(OperationsTest, ExpertsOfAFewTokensAreFiveKernels) {
  const int k = 4;
  const int64_t experts = 16, hidden = 128, width = 64;
  const std::vector<BF16> gate_up = RandomBF16(experts * 2 * width * hidden),
                          down = RandomBF16(experts * hidden * width),
                          dense = RandomBF16(hidden * width);
  const std::vector<float> scales = Random(experts), weight = Random(hidden);
  for (const int64_t tokens : {1, 8, 9}) {
    const std::vector<float> logits = Random(tokens * experts, 2),
                             x = Random(tokens * hidden),
                             mlp = Random(tokens * width);
    std::vector<float> p(tokens * experts), weights(tokens * k),
        y(tokens * hidden), beside(tokens * hidden), normed(tokens * hidden);
    std::vector<int32_t> chosen(tokens * k);
    RouterArgs router;
    router.tokens = tokens;
    router.experts = static_cast<int>(experts);
    router.experts_per_token = k;
    ExpertsArgs args;
    args.tokens = tokens;
    args.hidden = args.gate_up_stride = hidden;
    args.width = args.down_stride = width;
    args.experts_per_token = k;
    args.experts = experts;
    args.experts_per_shard = 2;
    MatmulArgs product;
    product.m = tokens;
    product.n = product.y_stride = hidden;
    product.k = product.x_stride = product.w_stride = width;
    RmsNormArgs norm;
    norm.rows = tokens;
    norm.width = norm.x_stride = norm.y_stride = hidden;
    const auto run = [&](Backend& backend, const auto& at) {
      RouterArgs r = router;
      r.logits = at(logits), r.per_expert_scale = at(scales);
      r.probabilities = at(p), r.chosen = at(chosen), r.weights = at(weights);
      MatmulArgs b = product;
      b.x = at(mlp), b.w = at(dense), b.y = at(beside);
      ExpertsArgs a = args;
      a.x = at(x), a.chosen = r.chosen, a.weights = r.weights;
      a.gate_up = at(gate_up), a.down = at(down), a.y = at(y);
      a.beside = {&b, 1};
      RmsNormArgs chain[2] = {norm, norm};
      chain[0].x = b.y, chain[0].y = b.y, chain[0].weight = at(weight);
      chain[1].x = a.y, chain[1].residual = b.y, chain[1].y = at(normed);
      const auto ask = [&] {
        backend.Router("test", r);
        backend.Experts("test", a);
        backend.RmsNorms("test", chain);
      };
      if (&backend == gpu_.get()) {
        EXPECT_EQ(KernelsOf(ask), tokens <= 8 ? 5 : 6) << tokens;
      } else {
        ask();
      }
      return chain[1].y;
    };
    run(*cpu_, [](const auto& values) {
      using T = typename std::decay_t<decltype(values)>::value_type;
      return const_cast<T*>(values.data());
    });
    const float* gpu_normed =
        run(*gpu_, [&](const auto& values) { return OnDevice(values); });
    ExpectSameBits(FromDevice(gpu_normed, tokens * hidden), normed,
                   "norms of " + std::to_string(tokens) + " tokens");
  }
}

TEST_F(OperationsTest, TheBestLogitsOfRows) {
  constexpr int kRows = 3;
  for (const int64_t width : {1, 40, 2048, 5000, 9000}) {
    std::vector<float> logits = Random(kRows * width);
    for (int64_t i = 0; i < width; ++i) {
      // Ties, zeros of both signs, what is never drawn, and nothing at all.
      if (i % 3 == 0) logits[i] = std::round(logits[i]);
      if (i % 5 == 0) logits[width + i] = i % 2 == 0 ? 0.0f : -0.0f;
      if (i % 7 == 0) logits[width + i] = std::nanf("");
      if (i % 11 == 0) logits[i] = -HUGE_VALF;
      logits[2 * width + i] = std::nanf("");
    }
    const float* on_device = OnDevice(logits);
    for (const int count : {1, 2, 64, kMostDeviceTop}) {
      std::vector<TokenLogit> cpu(kRows * count), gpu(kRows * count);
      ASSERT_TRUE(cpu_->TopLogits("test", kRows, width, logits.data(), count,
                                  absl::MakeSpan(cpu))
                      .ok());
      ASSERT_TRUE(gpu_->TopLogits("test", kRows, width, on_device, count,
                                  absl::MakeSpan(gpu))
                      .ok());
      for (size_t i = 0; i < cpu.size(); ++i) {
        ASSERT_EQ(gpu[i].token, cpu[i].token) << width << ", " << i;
        ASSERT_EQ(gpu[i].logit, cpu[i].logit) << width << ", " << i;
      }
    }
  }
}

// The device may be steps behind: what a step was given must stay as it was.
TEST_F(OperationsTest, StepsThatNobodyReadsKeepTheirInputs) {
  constexpr int kSteps = 7, kRows = 3, kWidth = 16, kTable = 20;
  const std::vector<float> table = Random(kTable * kWidth);
  const float* on_device = OnDevice(table);
  std::vector<float*> outputs;
  std::vector<std::vector<int64_t>> rows;
  for (int step = 0; step < kSteps; ++step) {
    outputs.push_back(OnDevice(std::vector<float>(kRows * kWidth)));
    rows.push_back({step, 2 * step, kTable - 1 - step});
  }
  for (int step = 0; step < kSteps; ++step) {
    gpu_->BeginStep();
    gpu_->GatherRows("test", rows[step], kWidth, on_device, outputs[step]);
  }
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> expected;
    for (const int64_t row : rows[step]) {
      expected.insert(expected.end(), table.begin() + row * kWidth,
                      table.begin() + (row + 1) * kWidth);
    }
    ExpectSameBits(FromDevice(outputs[step], kRows * kWidth), expected, "step");
  }
}

// Decoding asks for the same calls at every step; only what lies in device
// memory changes.
TEST_F(OperationsTest, DecodingRunsOneGraphOverAndOver) {
  constexpr int kDim = 64, kHeads = 4, kPageTokens = 32, kWidth = 256;
  constexpr int kSteps = 6, kProducts = 6, kFirst = 5;
  const std::vector<float> keys = Random(4 * kPageTokens * kDim);
  const std::vector<float> q = Random(kHeads * kDim);
  const std::vector<float> x = Random(kWidth);
  const std::vector<BF16> w = RandomBF16(kWidth * kWidth, 0.1f);
  const float* gpu_keys = OnDevice(keys);
  const float* gpu_q = OnDevice(q);
  const float* gpu_x = OnDevice(x);
  const BF16* gpu_w = OnDevice(w);
  float* gpu_y = OnDevice(std::vector<float>(kWidth));
  float* gpu_attended = OnDevice(std::vector<float>(kHeads * kDim));
  std::vector<float> y(kWidth), attended(kHeads * kDim);

  MatmulArgs product;
  product.m = 1;
  product.n = product.k = kWidth;
  product.x_stride = product.w_stride = product.y_stride = kWidth;
  AttentionArgs attention;
  attention.tokens = 1;
  attention.query_heads = kHeads;
  attention.kv_heads = 1;
  attention.heads_per_kv = kHeads;
  attention.head_dim = kDim;
  attention.q_stride = attention.y_stride = kHeads * kDim;
  attention.kv_dtype = DType::kF32;
  attention.page_tokens = kPageTokens;
  const auto run = [&](Backend& backend, const MatmulArgs& p,
                       const AttentionArgs& a) {
    backend.BeginStep();
    for (int i = 0; i < kProducts; ++i) backend.Matmuls("test", {&p, 1});
    for (int i = 0; i < 4; ++i) backend.Attention("test", {&a, 1});
  };
  const FACET_CUDA::LaunchCounts before = FACET_CUDA::CountsOf(*gpu_);
  for (int step = 0; step < kSteps; ++step) {
    // Its place in memory changes, as that of a table that has grown.
    const std::vector<int32_t> pages = {3, 1};
    attention.first_position = kFirst + step;
    attention.pages = pages.data();
    MatmulArgs p = product;
    AttentionArgs a = attention;
    p.x = gpu_x;
    p.w = gpu_w;
    p.y = gpu_y;
    a.q = gpu_q;
    a.k = a.v = gpu_keys;
    a.y = gpu_attended;
    run(*gpu_, p, a);
    const std::vector<float> gpu = FromDevice(gpu_attended, kHeads * kDim);
    p.x = x.data();
    p.w = w.data();
    p.y = y.data();
    a.q = q.data();
    a.k = a.v = keys.data();
    a.y = attended.data();
    run(*cpu_, p, a);
    ExpectSameBits(gpu, attended, "attention");
    ExpectSameBits(FromDevice(gpu_y, kWidth), y, "product");
  }
  const FACET_CUDA::LaunchCounts after = FACET_CUDA::CountsOf(*gpu_);
  EXPECT_EQ(after.refused, 0);
  EXPECT_EQ(after.graphs_made - before.graphs_made, 1);
  EXPECT_EQ(after.graphs_run - before.graphs_run, kSteps - 1);
  EXPECT_EQ(after.calls_changed - before.calls_changed, 0);
}

TEST_F(OperationsTest, UploadsCloseTheGapsBetweenRows) {
  std::vector<uint8_t> rows(7 * 1000);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint8_t>(i);
  uint8_t* to = OnDevice(std::vector<uint8_t>(7 * 300));
  ASSERT_TRUE(device_->Upload(rows.data(), 7, 300, 1000, to).ok());
  const std::vector<uint8_t> got = FromDevice(to, 7 * 300);
  for (int r = 0; r < 7; ++r) {
    for (int i = 0; i < 300; ++i) {
      ASSERT_EQ(got[r * 300 + i], rows[r * 1000 + i]);
    }
  }
}

}  // namespace
}  // namespace facet
