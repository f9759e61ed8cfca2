// Matrix products of the shapes of real models, as fractions of what this
// machine allows: weights against the matrix-vector rate, floating-point
// operations against the peak of multiply-adds, both sampled right before and
// right after each figure.
//
//   bazel run //kernels/matmul:matmul_benchmark
//   bazel run //kernels/matmul:matmul_benchmark -- avx2 dense-1b m=8
//
// Arguments choose the lines that hold all of them; m is the number of tokens.
// FACET_THREADS is the number of threads, else all CPUs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/machine_limits/machine_limits.h"
#include "kernels/matmul/matmul.h"

namespace facet {
namespace {

// Many times the caches, so that weights come from memory.
constexpr int64_t kWeights = int64_t{256} << 20;
constexpr int kRounds = 3;
constexpr double kSecondsPerFigure = 0.06;

struct Shape {
  const char* name;
  int64_t k;
  std::vector<int64_t> n;  // one product each, side by side
  int segments = 1;
  int experts = 0;  // 0: dense; else 8 of these per token, all n alike
  bool bf16_inputs = false;
};

const std::vector<Shape>& Shapes() {
  static const auto& shapes = *new std::vector<Shape>{
      {"dense-1b qkv", 1536, {2048, 1024, 1024}},
      {"dense-1b o", 2048, {1536}, 8},
      {"dense-1b up", 1536, {6144, 6144}},
      {"dense-1b down", 6144, {1536}, 8},
      {"dense-1b head", 1536, {32768}},
      {"dense-1b up bf16", 1536, {6144, 6144}, 1, 0, true},
      {"dense-1b down bf16", 6144, {1536}, 8, 0, true},
      {"moe-2b qkv", 1024, {2048, 1024, 1024}},
      {"moe-2b o", 2048, {1024}, 8},
      {"moe-2b up", 1024, {768, 768}},
      {"moe-2b down", 768, {1024}, 8},
      {"moe-2b experts-up", 1024, {512}, 1, 128},
      {"moe-2b experts-down", 256, {1024}, 1, 128},
      {"e2b qkv", 1536, {2048, 256, 256}},
      {"e2b down", 12288, {1536}, 8},
      {"e2b per-layer", 1536, {256}},
  };
  return shapes;
}

constexpr int64_t kTokens[] = {1, 2, 4, 8, 16, 32, 64, 512};

// One call of Matmul(), its weights wherever they are told to be.
struct Call {
  Call(const Shape& shape, int64_t tokens) {
    std::mt19937 random(1);
    constexpr int kPerToken = 8;
    if (shape.experts == 0) {
      for (int64_t n : shape.n) Add(shape, tokens, n, tokens);
    } else {
      std::vector<std::vector<int32_t>> rows(shape.experts);
      for (int64_t t = 0; t < tokens; ++t) {
        std::set<int> chosen;
        while (chosen.size() < kPerToken) {
          chosen.insert(static_cast<int>(random() % shape.experts));
        }
        for (int e : chosen) rows[e].push_back(static_cast<int32_t>(t));
      }
      for (const std::vector<int32_t>& of : rows) {
        if (of.empty()) continue;
        Add(shape, static_cast<int64_t>(of.size()), shape.n[0], tokens);
        problem_rows.push_back(of);
      }
    }
    x.resize(tokens * shape.k);
    for (float& v : x) v = static_cast<float>(random() % 1000) / 1000 - 0.5f;
    y.resize(outputs);
    float* at = y.data();
    for (size_t p = 0; p < problems.size(); ++p) {
      problems[p].x = x.data();
      problems[p].y = at;
      at += problems[p].m * problems[p].n;
      if (shape.experts > 0) problems[p].x_rows = problem_rows[p].data();
    }
  }

  void Add(const Shape& shape, int64_t m, int64_t n, int64_t) {
    MatmulArgs args;
    args.m = m;
    args.n = n;
    args.k = shape.k;
    args.x_stride = shape.k;
    args.w_stride = shape.k;
    args.segments = shape.segments;
    args.bf16_inputs = shape.bf16_inputs;
    args.y_stride = n;
    problems.push_back(args);
    weights += n * shape.k;
    flops += 2.0 * static_cast<double>(m * n * shape.k);
    outputs += m * n;
  }

  void Run(const BF16* w, ThreadPool& pool) {
    for (MatmulArgs& args : problems) {
      args.w = w;
      w += args.n * args.k;
    }
    Matmul(problems, pool);
  }

  std::vector<MatmulArgs> problems;
  std::vector<std::vector<int32_t>> problem_rows;
  std::vector<float> x, y;
  int64_t weights = 0, outputs = 0;
  double flops = 0;
};

double SecondsPerCall(Call& call, const std::vector<BF16>& w, int64_t& place,
                      ThreadPool& pool) {
  double seconds = 0;
  int64_t calls = 0;
  while (seconds < kSecondsPerFigure) {
    if (place + call.weights > static_cast<int64_t>(w.size())) place = 0;
    const auto start = std::chrono::steady_clock::now();
    call.Run(w.data() + place, pool);
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    place += call.weights;
    seconds += took.count();
    ++calls;
  }
  return seconds / static_cast<double>(calls);
}

struct Line {
  std::string label;
  const Shape* shape;
  int64_t tokens;
  std::vector<double> seconds, of_matvec, of_peak;
};

bool Wanted(const std::string& label, const std::vector<std::string>& words) {
  return std::all_of(words.begin(), words.end(), [&](const std::string& word) {
    return (label + " ").find(" " + word + " ") != std::string::npos;
  });
}

void Measure(Isa isa, const std::vector<BF16>& w,
             const std::vector<std::string>& words, ThreadPool& pool) {
  std::vector<Line> lines;
  for (const Shape& shape : Shapes()) {
    for (int64_t tokens : kTokens) {
      const std::string label = std::string(" ") + Name(isa) + " " +
                                shape.name + " m=" + std::to_string(tokens);
      if (Wanted(label, words))
        lines.push_back({label, &shape, tokens, {}, {}, {}});
    }
  }
  if (lines.empty()) return;
  SetActiveIsaForTest(isa);
  const absl::Span<const BF16> runs[] = {w};
  const MachineLimits limits = MeasureMachineLimits(runs, 3, pool);
  std::printf(
      "%s, %d threads: read %.1f GB/s, matvec %.1f GB/s, multiply-adds %.0f "
      "GFLOP/s, bf16 dot %.0f GFLOP/s\n",
      Name(isa), pool.num_threads(), limits.read_gb_per_s.median,
      limits.matvec_gb_per_s.median, limits.fma_gflop_per_s.median,
      limits.bf16_dot_gflop_per_s.median);
  const auto sample = [&] {
    return SampleMachineLimits(runs, limits.matvec_rows, pool);
  };
  int64_t place = 0;
  for (int round = 0; round < kRounds; ++round) {
    LimitSample before = sample();
    for (Line& line : lines) {
      Call call(*line.shape, line.tokens);
      const double seconds = SecondsPerCall(call, w, place, pool);
      const LimitSample after = sample();
      const auto rate = [&](double LimitSample::*of) {
        return (before.*of + after.*of) / 2 * 1e9;
      };
      const bool dot = line.shape->bf16_inputs && MatmulUsesBf16DotProduct();
      line.seconds.push_back(seconds);
      line.of_matvec.push_back(2.0 * static_cast<double>(call.weights) /
                               seconds / rate(&LimitSample::matvec_gb_per_s));
      line.of_peak.push_back(call.flops / seconds /
                             rate(dot ? &LimitSample::bf16_dot_gflop_per_s
                                      : &LimitSample::fma_gflop_per_s));
      before = after;
    }
  }
  for (const Line& line : lines) {
    const Call call(*line.shape, line.tokens);
    const double seconds = Summarize(line.seconds).median;
    const double of_matvec = Summarize(line.of_matvec).median;
    const double of_peak = Summarize(line.of_peak).median;
    std::printf(
        "%-36s %8.1f us  %6.2f GB/s = %3.0f %%  %6.1f GFLOP/s = %3.0f %%  "
        "of the nearer limit %3.0f %%\n",
        line.label.c_str() + 1, seconds * 1e6,
        2.0 * static_cast<double>(call.weights) / seconds / 1e9,
        of_matvec * 100, call.flops / seconds / 1e9, of_peak * 100,
        std::max(of_matvec, of_peak) * 100);
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  const char* threads = std::getenv("FACET_THREADS");
  facet::ThreadPool pool(
      threads != nullptr
          ? std::max(1, std::atoi(threads))
          : static_cast<int>(std::thread::hardware_concurrency()));
  std::mt19937 random(7);
  std::vector<facet::BF16> w(facet::kWeights);
  for (facet::BF16& v : w) {
    v.bits = static_cast<uint16_t>(0x3c00 | (random() & 0x80ff));
  }
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (facet::Isa isa : facet::SupportedIsas()) {
    if (isa != facet::Isa::kReference) facet::Measure(isa, w, words, pool);
  }
  return 0;
}
