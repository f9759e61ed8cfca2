#include "kernels/machine_limits/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/base/variants.h"
#include "kernels/machine_limits/machine_limits_variants.h"

namespace facet {
namespace {

static_assert(kLimitK == kLimitRowWeights);

constexpr int64_t FmaFlops(int lanes) { return 2 * kFmaChains * lanes; }

#define FACET_LIMITS(Isa)                   \
  LimitRead##Isa, LimitReadPrefetched##Isa, \
      {LimitMatvec1##Isa, LimitMatvec4##Isa, LimitMatvec6##Isa}, LimitFma##Isa

constexpr LimitVariant kBestFirst[] = {
    {"avx512bf16", Isa::kAvx512Bf16, FACET_LIMITS(Avx512), FmaFlops(16),
     LimitBf16DotAvx512Bf16, 2 * FmaFlops(16)},
    {"avx512", Isa::kAvx512, FACET_LIMITS(Avx512), FmaFlops(16), nullptr, 0},
    {"avx2", Isa::kAvx2, FACET_LIMITS(Avx2), FmaFlops(8), nullptr, 0},
    {"reference", Isa::kReference, FACET_LIMITS(Reference), FmaFlops(1),
     nullptr, 0},
};

#undef FACET_LIMITS

// What one thread takes at a time: small enough that a thread which lost its
// core for a while does not hold up the others.
constexpr int64_t kBlockRows = 384;
constexpr int64_t kRowBytes = kLimitRowWeights * sizeof(BF16);
static_assert(kRowBytes % 1024 == 0);

struct Block {
  const BF16* weights = nullptr;
  int64_t rows = 0;
};

std::vector<Block> CutIntoBlocks(
    absl::Span<const absl::Span<const BF16>> weights) {
  std::vector<Block> blocks;
  for (const absl::Span<const BF16> run : weights) {
    const int64_t rows = static_cast<int64_t>(run.size()) / kLimitRowWeights;
    for (int64_t r = 0; r < rows; r += kBlockRows) {
      blocks.push_back(
          {run.data() + r * kLimitRowWeights, std::min(kBlockRows, rows - r)});
    }
  }
  return blocks;
}

double Seconds(absl::FunctionRef<void()> body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return took.count();
}

// `amount` / 1e9 per second of `body`.
Rate Repeat(double amount, int repeats, absl::FunctionRef<void()> body) {
  body();
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) {
    rates.push_back(amount / Seconds(body) / 1e9);
  }
  return Summarize(rates);
}

// `amount` / 1e9 per second of `body`, run until kSampleSeconds have passed.
double SampleRate(double amount, absl::FunctionRef<void()> body) {
  constexpr double kSampleSeconds = 0.1;
  double seconds = 0, done = 0;
  for (; seconds < kSampleSeconds; done += amount) seconds += Seconds(body);
  return done / seconds / 1e9;
}

constexpr int64_t kRounds = 3'000'000;  // of register chains; some 20 ms

Rate RegisterRate(float (*chains)(int64_t), int64_t flops_per_round,
                  int repeats, ThreadPool& pool) {
  std::atomic<float> sink{0};
  return Repeat(
      static_cast<double>(flops_per_round) * kRounds * pool.num_threads(),
      repeats, [&] { pool.Run([&](int) { sink = chains(kRounds); }); });
}

}  // namespace

Rate Summarize(absl::Span<const double> values) {
  FACET_CHECK(!values.empty());
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  Rate rate;
  rate.min = sorted.front();
  rate.max = sorted.back();
  rate.median = sorted.size() % 2 == 1 ? sorted[half]
                                       : (sorted[half - 1] + sorted[half]) / 2;
  return rate;
}

absl::Span<const LimitVariant> LimitVariants() {
  return RunnableVariants(kBestFirst);
}

MachineLimits MeasureMachineLimits(
    absl::Span<const absl::Span<const BF16>> weights, int repeats,
    ThreadPool& pool) {
  const LimitVariant& variant = ActiveVariant(kBestFirst);
  const std::vector<Block> blocks = CutIntoBlocks(weights);
  FACET_CHECK(repeats >= 1 && !blocks.empty());
  const auto count = static_cast<int64_t>(blocks.size());
  const std::vector<float> x(kLimitRowWeights, 1e-3f);
  std::vector<std::vector<float>> y(pool.num_threads(),
                                    std::vector<float>(kBlockRows));

  MachineLimits limits;
  limits.isa = variant.isa;
  limits.threads = pool.num_threads();
  for (const Block& block : blocks) limits.bytes += block.rows * kRowBytes;
  const auto bytes = static_cast<double>(limits.bytes);

  for (const auto read : {variant.read, variant.read_prefetched}) {
    std::atomic<uint32_t> sink{0};
    const Rate rate = Repeat(bytes, repeats, [&] {
      pool.ParallelDynamic(count, [&](int, int64_t i) {
        sink += read(reinterpret_cast<const uint8_t*>(blocks[i].weights),
                     blocks[i].rows * kRowBytes);
      });
    });
    if (rate.median > limits.read_gb_per_s.median) limits.read_gb_per_s = rate;
  }
  for (size_t c = 0; c < std::size(kLimitRowCounts); ++c) {
    const Rate rate = Repeat(bytes, repeats, [&] {
      pool.ParallelDynamic(count, [&](int thread, int64_t i) {
        variant.matvec[c](blocks[i].weights, blocks[i].rows, x.data(),
                          y[thread].data());
      });
    });
    if (rate.median > limits.matvec_gb_per_s.median) {
      limits.matvec_gb_per_s = rate;
      limits.matvec_rows = kLimitRowCounts[c];
    }
  }
  limits.fma_gflop_per_s =
      RegisterRate(variant.fma, variant.fma_flops_per_round, repeats, pool);
  if (variant.bf16_dot != nullptr) {
    limits.bf16_dot_gflop_per_s = RegisterRate(
        variant.bf16_dot, variant.bf16_dot_flops_per_round, repeats, pool);
  }
  return limits;
}

LimitSample SampleMachineLimits(
    absl::Span<const absl::Span<const BF16>> weights, int matvec_rows,
    ThreadPool& pool) {
  const LimitVariant& variant = ActiveVariant(kBestFirst);
  const std::vector<Block> blocks = CutIntoBlocks(weights);
  const auto* rows = std::find(std::begin(kLimitRowCounts),
                               std::end(kLimitRowCounts), matvec_rows);
  FACET_CHECK(!blocks.empty() && rows != std::end(kLimitRowCounts));
  const auto matvec = variant.matvec[rows - std::begin(kLimitRowCounts)];
  const std::vector<float> x(kLimitRowWeights, 1e-3f);
  std::vector<std::vector<float>> y(pool.num_threads(),
                                    std::vector<float>(kBlockRows));
  double bytes = 0;
  for (const Block& block : blocks) {
    bytes += static_cast<double>(block.rows * kRowBytes);
  }

  LimitSample sample;
  sample.matvec_gb_per_s = SampleRate(bytes, [&] {
    pool.ParallelDynamic(
        static_cast<int64_t>(blocks.size()), [&](int thread, int64_t i) {
          matvec(blocks[i].weights, blocks[i].rows, x.data(), y[thread].data());
        });
  });
  std::atomic<float> sink{0};
  const auto register_rate = [&](float (*chains)(int64_t), int64_t flops) {
    return SampleRate(static_cast<double>(flops) * kRounds * pool.num_threads(),
                      [&] { pool.Run([&](int) { sink = chains(kRounds); }); });
  };
  sample.fma_gflop_per_s =
      register_rate(variant.fma, variant.fma_flops_per_round);
  if (variant.bf16_dot != nullptr) {
    sample.bf16_dot_gflop_per_s =
        register_rate(variant.bf16_dot, variant.bf16_dot_flops_per_round);
  }
  return sample;
}

}  // namespace facet
