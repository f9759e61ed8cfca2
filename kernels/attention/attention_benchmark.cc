// Attention over pages as a model has them, held against what this machine
// allows: the rates at which it reads the same pages, multiplies them by one
// vector and multiplies in registers, all measured in turn with attention.
//
//   bazel run //kernels/attention:attention_benchmark [-- WORD...]
//
// Words choose: decode or prefill, avx512 or avx2, f32 or bf16, window or
// global, threads=N. Columns: query heads per KV head, microseconds of a call,
// and its rates in percent of each limit.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/machine_limits/machine_limits.h"

namespace facet {
namespace {

constexpr int kPageTokens = 32;
// Of K and of V each: many times the caches.
constexpr int64_t kPoolBytes = int64_t{256} << 20;
constexpr int kRounds = 25;
constexpr double kRoundSeconds = 0.002;
constexpr double kMostSeconds = 2;

// What a quarter of the runs did not better: machines are shared.
double FastQuarter(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 4];
}

template <typename Body>
double Seconds(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return took.count();
}

// The pages of all problems; what they hold is small and varied.
struct Pool {
  Pool() : k(kPoolBytes / 4), v(kPoolBytes / 4) {
    uint32_t state = 1;
    for (auto* floats : {&k, &v}) {
      for (float& x : *floats) {
        state = state * 1664525 + 1013904223;
        x = static_cast<float>(state >> 8) * 0x1p-25f - 0.25f;
      }
    }
    // As bf16 the lower halves are numbers of every size, so not these.
    k_bf16.reserve(k.size());
    for (float x : k) k_bf16.push_back(ToBF16(x));
    v_bf16 = k_bf16;
  }
  std::vector<float> k, v;
  std::vector<BF16> k_bf16, v_bf16;
};

struct Shape {
  const char* name;
  int head_dim;
  int64_t window;
  int kv_heads;
  int heads_per_kv;
};

// Sequences of the given lengths, whose last `tokens` attend, on pages that
// differ from one turn to the next.
class Problem {
 public:
  Problem(const Pool& pool, const Shape& shape, DType dtype,
          const std::vector<int64_t>& lengths, int64_t tokens)
      : shape_(shape) {
    const int64_t element = dtype == DType::kF32 ? 4 : 2;
    const int64_t page_bytes =
        int64_t{kPageTokens} * shape.kv_heads * shape.head_dim * element;
    // bf16 pools hold as many numbers in half the bytes.
    const int64_t pool_pages = kPoolBytes / 4 * element / page_bytes;
    const int heads = shape.kv_heads * shape.heads_per_kv;
    const int64_t width = int64_t{heads} * shape.head_dim;
    std::vector<int32_t> shuffled(pool_pages);
    for (int64_t i = 0; i < pool_pages; ++i) shuffled[i] = i;
    std::mt19937 random(7);
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    int64_t pages = 0;
    for (int64_t length : lengths) {
      const int64_t first =
          shape.window > 0
              ? std::max<int64_t>(0, length - tokens + 1 - shape.window)
              : 0;
      firsts_.push_back(first / kPageTokens);
      counts_.push_back((length - 1) / kPageTokens + 1 - firsts_.back());
      pages += counts_.back();
      keys_ += length - first;
      for (int64_t t = length - tokens; t < length; ++t) {
        pairs_ += shape.window > 0 ? std::min(t + 1, shape.window) : t + 1;
      }
    }
    bytes_ = 2 * keys_ * shape.kv_heads * shape.head_dim * element;
    turns_ = std::max<int64_t>(1, pool_pages / pages);
    pages_.resize(pages * turns_);
    for (size_t i = 0; i < pages_.size(); ++i) {
      pages_[i] = shuffled[i % pool_pages];
    }
    q_.resize(tokens * width);
    std::normal_distribution<float> normal;
    for (float& x : q_) x = normal(random) * 0.3f;
    y_.resize(tokens * width * lengths.size());
    for (size_t s = 0; s < lengths.size(); ++s) {
      AttentionArgs args;
      args.tokens = tokens;
      args.first_position = lengths[s] - tokens;
      args.query_heads = heads;
      args.kv_heads = shape.kv_heads;
      args.heads_per_kv = shape.heads_per_kv;
      args.head_dim = shape.head_dim;
      args.window = shape.window;
      args.q = q_.data();
      args.q_stride = width;
      args.kv_dtype = dtype;
      args.k = dtype == DType::kF32 ? static_cast<const void*>(pool.k.data())
                                    : pool.k_bf16.data();
      args.v = dtype == DType::kF32 ? static_cast<const void*>(pool.v.data())
                                    : pool.v_bf16.data();
      args.page_tokens = kPageTokens;
      args.first_page = firsts_[s];
      args.y = y_.data() + s * tokens * width;
      args.y_stride = width;
      args_.push_back(args);
    }
  }

  void Run(ThreadPool& threads) {
    const int64_t per_turn = static_cast<int64_t>(pages_.size()) / turns_;
    const int32_t* pages = pages_.data() + turn_ * per_turn;
    for (size_t s = 0; s < args_.size(); ++s) {
      args_[s].pages = pages;
      pages += counts_[s];
    }
    turn_ = (turn_ + 1) % turns_;
    Attention(args_, threads);
  }

  // Keys and values that a call has to read.
  double gigabytes() const { return static_cast<double>(bytes_) / 1e9; }
  double gflop() const {
    return 4e-9 * static_cast<double>(pairs_) * shape_.kv_heads *
           shape_.heads_per_kv * shape_.head_dim;
  }

 private:
  const Shape shape_;
  int64_t keys_ = 0, pairs_ = 0, bytes_ = 0, turns_ = 1, turn_ = 0;
  std::vector<int64_t> firsts_, counts_;  // pages of each sequence
  std::vector<int32_t> pages_;            // of turns, of sequences
  std::vector<float> q_, y_;
  std::vector<AttentionArgs> args_;
};

// Times of the limits, over another part of the pages each time.
class Limits {
 public:
  Limits(const Pool& pool, ThreadPool& threads)
      : data_(reinterpret_cast<const uint8_t*>(pool.k.data())),
        threads_(threads),
        x_(kLimitRowWeights, 1e-3f) {
    for (const LimitVariant& variant : LimitVariants()) {
      if (variant.isa <= ActiveIsa()) {
        variant_ = &variant;
        break;
      }
    }
  }

  void Sample() {
    const auto read = [&](auto loop) {
      return Pass([&](const uint8_t* data) { loop(data, kBlockBytes); });
    };
    const auto matvec = [&](auto loop) {
      return Pass([&](const uint8_t* data) {
        thread_local std::vector<float> y(kBlockRows);
        loop(reinterpret_cast<const BF16*>(data), kBlockRows, x_.data(),
             y.data());
      });
    };
    read_[0].push_back(read(variant_->read));
    read_[1].push_back(read(variant_->read_prefetched));
    for (int i = 0; i < 3; ++i) {
      matvec_[i].push_back(matvec(variant_->matvec[i]));
    }
    std::atomic<float> sink{0};
    fma_.push_back(Seconds(
        [&] { threads_.Run([&](int) { sink = variant_->fma(kTurns); }); }));
  }

  double ReadGbPerS() const {
    return kPassBytes / 1e9 /
           std::min(FastQuarter(read_[0]), FastQuarter(read_[1]));
  }
  double MatvecGbPerS() const {
    return kPassBytes / 1e9 /
           std::min({FastQuarter(matvec_[0]), FastQuarter(matvec_[1]),
                     FastQuarter(matvec_[2])});
  }
  double FmaGflopPerS() const {
    return static_cast<double>(variant_->fma_flops_per_round) * kTurns *
           threads_.num_threads() / FastQuarter(fma_) / 1e9;
  }

 private:
  static constexpr int64_t kTurns = 30'000;
  static constexpr int64_t kBlockRows = 192;
  static constexpr int64_t kBlockBytes = kBlockRows * kLimitRowWeights * 2;
  static constexpr int64_t kBlocks = 28;
  static constexpr int64_t kPassBytes = kBlocks * kBlockBytes;  // 16 MB

  template <typename Body>
  double Pass(Body body) {
    const uint8_t* data = data_ + at_;
    at_ = (at_ + kPassBytes) % (kPoolBytes - kPassBytes) / 64 * 64;
    return Seconds([&] {
      threads_.ParallelDynamic(
          kBlocks, [&](int, int64_t i) { body(data + i * kBlockBytes); });
    });
  }

  const uint8_t* const data_;
  ThreadPool& threads_;
  const std::vector<float> x_;
  const LimitVariant* variant_ = nullptr;
  int64_t at_ = 0;
  std::vector<double> read_[2], matvec_[3], fma_;
};

void Measure(const char* what, const Pool& pool, const Shape& shape,
             DType dtype, const std::vector<int64_t>& lengths, int64_t tokens,
             ThreadPool& threads) {
  Problem problem(pool, shape, dtype, lengths, tokens);
  Limits limits(pool, threads);
  problem.Run(threads);
  std::vector<double> took;
  double spent = 0;
  for (int round = 0; round < kRounds && spent < kMostSeconds; ++round) {
    limits.Sample();
    double seconds = 0;
    while (seconds < kRoundSeconds) {
      took.push_back(Seconds([&] { problem.Run(threads); }));
      seconds += took.back();
    }
    spent += seconds;
  }
  const double each = FastQuarter(took);
  const double gb_per_s = problem.gigabytes() / each;
  const double gflop_per_s = problem.gflop() / each;
  std::string keys = std::to_string(lengths[0]);
  if (lengths.size() > 1) keys = std::to_string(lengths.size()) + " lengths";
  std::printf(
      "%-7s %d threads %-7s %-4s %-6s kv %dx%d heads %-2d keys %-9s "
      "%10.1f us %6.1f GB/s %4.0f%% read %4.0f%% matvec %7.1f GFLOP/s "
      "%4.0f%% fma\n",
      Name(ActiveIsa()), threads.num_threads(), what,
      dtype == DType::kF32 ? "f32" : "bf16", shape.name, shape.kv_heads,
      shape.head_dim, shape.heads_per_kv, keys.c_str(), each * 1e6, gb_per_s,
      100 * gb_per_s / limits.ReadGbPerS(),
      100 * gb_per_s / limits.MatvecGbPerS(), gflop_per_s,
      100 * gflop_per_s / limits.FmaGflopPerS());
  std::fflush(stdout);
}

struct Choice {
  bool Wants(const std::string& word,
             std::initializer_list<const char*> others) const {
    if (std::count(words.begin(), words.end(), word) > 0) return true;
    return std::none_of(others.begin(), others.end(), [&](const char* other) {
      return std::count(words.begin(), words.end(), other) > 0;
    });
  }
  std::vector<std::string> words;
};

void MeasureAll(const Choice& choice, const Pool& pool, ThreadPool& threads) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const char* name = dtype == DType::kF32 ? "f32" : "bf16";
    if (!choice.Wants(name, {"f32", "bf16"})) continue;
    const auto decode = [&](Shape shape, std::vector<int64_t> lengths) {
      if (!choice.Wants("decode", {"decode", "prefill"})) return;
      if (!choice.Wants(shape.name, {"window", "global"})) return;
      Measure("decode", pool, shape, dtype, lengths, 1, threads);
    };
    for (int heads : {1, 2, 4, 8}) {
      for (int64_t keys : {512, 4096}) {
        decode({"window", 256, 1024, 1, heads}, {keys});
      }
      for (int64_t keys : {512, 4096, 32768, 131072}) {
        decode({"global", 512, 0, 1, heads}, {keys});
      }
    }
    decode({"window", 256, 1024, 4, 2}, {32768});
    decode({"global", 512, 0, 2, 8}, {1500});
    decode({"global", 512, 0, 4, 8}, {32768});
    const std::vector<int64_t> mixed = {512, 4096, 700,  32768,
                                        100, 9000, 2500, 16384};
    decode({"window", 256, 1024, 4, 2}, mixed);
    decode({"global", 512, 0, 1, 8}, mixed);
    const auto prefill = [&](Shape shape, int64_t behind) {
      if (!choice.Wants("prefill", {"decode", "prefill"})) return;
      if (!choice.Wants(shape.name, {"window", "global"})) return;
      Measure("prefill", pool, shape, dtype, {behind + 512}, 512, threads);
    };
    for (int64_t behind : {0, 4096, 32768}) {
      prefill({"window", 256, 1024, 2, 2}, behind);
      prefill({"global", 512, 0, 1, 4}, behind);
    }
  }
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  facet::Choice choice;
  choice.words.assign(argv + 1, argv + argc);
  std::vector<int> counts = {
      1, static_cast<int>(std::thread::hardware_concurrency())};
  for (const std::string& word : choice.words) {
    if (word.rfind("threads=", 0) == 0) counts = {std::atoi(&word[8])};
  }
  const facet::Pool pool;
  for (facet::Isa isa : {facet::Isa::kAvx512, facet::Isa::kAvx2}) {
    if (isa > facet::BestIsa()) continue;
    if (!choice.Wants(facet::Name(isa), {"avx512", "avx2"})) continue;
    facet::SetActiveIsaForTest(isa);
    for (int count : counts) {
      facet::ThreadPool threads(count);
      facet::MeasureAll(choice, pool, threads);
    }
  }
  return 0;
}
