#include "kernels/matmul/matmul.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/base/variants.h"
#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/matmul/matmul_variants.h"

namespace facet {
namespace {

constexpr MatmulVariant kBestFirst[] = {
    {"avx512bf16", Isa::kAvx512Bf16, &MatmulAvx512Bf16},
    {"avx512", Isa::kAvx512, &MatmulAvx512},
    {"avx2", Isa::kAvx2, &MatmulAvx2},
    {"reference", Isa::kReference, &MatmulReference},
};

// Bytes of w in one block. With few rows of x small, so that threads finish
// together; with many, so that two blocks and the rows of x that meet them fit
// a usual second-level cache.
int64_t BlockBytes(int64_t m) {
  if (m <= 4) return int64_t{64} << 10;
  return int64_t{m <= 16 ? 96 : 192} << 10;
}

int64_t RowsPerBlock(const MatmulArgs& args) {
  const int64_t matrices = args.up != nullptr && args.m > 4 ? 2 : 1;
  const int64_t row_bytes = matrices * args.k * SizeOf(args.w_dtype);
  // Multiples of 6 are whole tiles of every variant.
  const int64_t rows =
      BlockBytes(args.m) / std::max<int64_t>(row_bytes, 1) / 6 * 6;
  // What a strip of x costs beside its tiles is paid once for each block.
  const int64_t least = args.m <= 4 ? 6 : args.m <= 16 ? 12 : 24;
  return std::clamp<int64_t>(rows, least, kMatmulMaxBlock);
}

// Elements that a thread rounds at least: a few microseconds of work.
constexpr int64_t kRoundGrain = 32768;

struct Scratch {
  float* Get(int64_t floats) {
    if (static_cast<int64_t>(values.size()) < floats) values.resize(floats);
    return values.data();
  }
  std::vector<float> values;
  const void* fetched = nullptr;  // the block that the last one asked for
};

struct Block {
  const void* Rows(const void* w) const {
    return static_cast<const uint8_t*>(w) +
           begin * args->w_stride * SizeOf(args->w_dtype);
  }
  // What comes before this block asks for its rows of `w`.
  void Announce(const void* w, MatmulStream& stream) const {
    stream.next = Rows(w);
    stream.next_rows = end - begin;
    stream.next_stride = args->w_stride * SizeOf(args->w_dtype);
  }

  const MatmulArgs* args;
  int64_t begin, end;
};

// All blocks of several problems, one after another.
class Blocks {
 public:
  explicit Blocks(absl::Span<const MatmulArgs> problems) : problems_(problems) {
    if (problems.size() > kInline) {
      heap_.resize(problems.size() + 1);
      first_ = heap_.data();
    }
    first_[0] = 0;
    for (size_t p = 0; p < problems.size(); ++p) {
      const MatmulArgs& args = problems[p];
      FACET_DCHECK(args.segments >= 1 && args.k % args.segments == 0);
      const int64_t rows = RowsPerBlock(args);
      first_[p + 1] = first_[p] + (args.m > 0 ? (args.n + rows - 1) / rows : 0);
    }
  }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  int64_t count() const { return first_[problems_.size()]; }

  Block At(int64_t index) const {
    const size_t p =
        std::upper_bound(first_, first_ + problems_.size() + 1, index) -
        first_ - 1;
    const MatmulArgs& args = problems_[p];
    const int64_t rows = RowsPerBlock(args);
    const int64_t begin = (index - first_[p]) * rows;
    return {&args, begin, std::min(args.n, begin + rows)};
  }

 private:
  static constexpr int kInline = 8;

  const absl::Span<const MatmulArgs> problems_;
  int64_t inline_[kInline + 1];
  std::vector<int64_t> heap_;
  int64_t* first_ = inline_;  // first_[p]: the blocks before problem p
};

// Rows of x between a product and its gate: what both wrote is still in the
// cache when they meet.
constexpr int64_t kGatedRows = 64;

// The block's rows of w and of up. `scratch` has kGatedRows floats for each row
// behind those of a variant's call.
void RunGated(const MatmulVariant& variant, const Block& block,
              const MatmulStream& stream, float* scratch) {
  const MatmulArgs& args = *block.args;
  FACET_DCHECK(args.segments == 1);
  const int64_t begin = block.begin;
  const int64_t columns = block.end - begin;
  float* up = scratch + MatmulScratchFloats(args);
  MatmulArgs part = args;
  for (int64_t m = 0; m < args.m; m += kGatedRows) {
    part.m = std::min(kGatedRows, args.m - m);
    if (args.x_rows != nullptr) {
      part.x_rows = args.x_rows + m;
    } else {
      part.x = args.x + m * args.x_stride;
      if (args.x_rounded != nullptr) {
        part.x_rounded = args.x_rounded + m * args.x_rounded_stride;
      }
    }
    float* gate = args.y + m * args.y_stride;
    part.w = args.w;
    part.y = gate;
    part.y_stride = args.y_stride;
    MatmulStream until_up = {.fetched = stream.fetched || m > 0};
    if (m == 0) block.Announce(args.up, until_up);
    variant.run(part, begin, block.end, until_up, scratch);
    part.w = block.Rows(args.up);
    part.y = up;
    part.y_stride = columns;
    MatmulStream until_next = m + part.m < args.m ? MatmulStream() : stream;
    until_next.fetched = true;
    variant.run(part, 0, columns, until_next, scratch);
    GatedGeluArgs gelu;
    gelu.rows = part.m;
    gelu.width = columns;
    gelu.gate = gelu.y = gate + begin;
    gelu.gate_stride = gelu.y_stride = args.y_stride;
    gelu.up = up;
    gelu.up_stride = columns;
    ActiveGatedGelu().run(gelu, 0, part.m);
  }
}

// Rows whole pages apart would meet in the same few lines of the first-level
// cache.
int64_t RoundedStride(int64_t k) { return (k + 31) / 32 * 32 + 32; }

// Rows of x that a problem may ask for.
int64_t RowsOf(const MatmulArgs& args) {
  if (args.x_rows == nullptr || args.m == 0) return args.m;
  return *std::max_element(args.x_rows, args.x_rows + args.m) + 1;
}

// For the dot product, which would round every row of x once for each block of
// w: a copy of `problems` whose inputs are rounded once for all of them.
absl::Span<const MatmulArgs> RoundInputs(absl::Span<const MatmulArgs> problems,
                                         ThreadPool& pool) {
  static thread_local std::vector<MatmulArgs> copies;
  static thread_local std::vector<BF16> rounded;
  struct Input {
    const MatmulArgs* args;
    int64_t rows, first;  // of `rounded`
  };
  static thread_local std::vector<Input> inputs;
  static thread_local std::vector<size_t> input_of;
  const auto same = [](const MatmulArgs& a, const MatmulArgs& b) {
    return a.x == b.x && a.x_stride == b.x_stride && a.k == b.k;
  };
  inputs.clear();
  input_of.clear();
  for (const MatmulArgs& args : problems) {
    // Products that share x follow each other.
    if (inputs.empty() || !same(*inputs.back().args, args)) {
      inputs.push_back({&args, 0, 0});
    }
    inputs.back().rows = std::max(inputs.back().rows, RowsOf(args));
    input_of.push_back(inputs.size() - 1);
  }
  int64_t total = 0;
  for (Input& input : inputs) {
    input.first = total;
    total += input.rows * RoundedStride(input.args->k);
  }
  if (static_cast<int64_t>(rounded.size()) < total) rounded.resize(total);
  copies.assign(problems.begin(), problems.end());
  BF16* const all = rounded.data();
  for (size_t p = 0; p < copies.size(); ++p) {
    copies[p].x_rounded = all + inputs[input_of[p]].first;
    copies[p].x_rounded_stride = RoundedStride(copies[p].k);
  }
  for (const Input& input : inputs) {
    MatmulArgs args = *input.args;
    args.x_rounded_stride = RoundedStride(args.k);
    const int64_t grain = std::max<int64_t>(1, kRoundGrain / args.k);
    pool.ParallelFor(input.rows, grain, [&](int64_t begin, int64_t end) {
      RoundRowsAvx512Bf16(args, begin, end, all + input.first);
    });
  }
  return copies;
}

}  // namespace

absl::Span<const MatmulVariant> MatmulVariants() {
  return RunnableVariants(kBestFirst);
}

int64_t MatmulScratchFloats(const MatmulArgs& args) {
  return kMatmulMaxStrip *
         ((args.segments + 16) * kMatmulMaxBlock + kMatmulMaxPiece + args.k);
}

bool MatmulUsesBf16DotProduct() { return ActiveIsa() == Isa::kAvx512Bf16; }

void Matmul(absl::Span<const MatmulArgs> problems, ThreadPool& pool) {
  const MatmulVariant& variant = ActiveVariant(kBestFirst);
  const auto rounds = [](const MatmulArgs& args) {
    return args.bf16_inputs && args.w_dtype == DType::kBF16;
  };
  if (variant.isa == Isa::kAvx512Bf16 &&
      std::all_of(problems.begin(), problems.end(), rounds)) {
    problems = RoundInputs(problems, pool);
  }
  const Blocks blocks(problems);
  const int64_t count = blocks.count();
  pool.ParallelDynamic(count, [&](int thread, int64_t index) {
    static thread_local Scratch scratch;
    const Block block = blocks.At(index);
    const MatmulArgs& args = *block.args;
    MatmulStream stream;
    stream.fetched = scratch.fetched == block.Rows(args.w);
    // Blocks taken from another thread's run come in no order.
    if (index >= pool.RunBegin(count, thread) &&
        index + 1 < pool.RunBegin(count, thread + 1)) {
      const Block next = blocks.At(index + 1);
      next.Announce(next.args->w, stream);
    }
    scratch.fetched = stream.next;
    if (args.up != nullptr) {
      RunGated(variant, block, stream,
               scratch.Get(MatmulScratchFloats(args) +
                           kGatedRows * (block.end - block.begin)));
    } else {
      variant.run(args, block.begin, block.end, stream,
                  scratch.Get(MatmulScratchFloats(args)));
    }
  });
}

void FetchWeightsAhead(absl::Span<const MatmulArgs> products,
                       ThreadPool& pool) {
  if (pool.num_threads() == 1) return;  // nobody waits
  // As much as a thread brings in while it waits, and well below the caches
  // that it is brought to.
  constexpr int64_t kMostBytes = int64_t{192} << 10;
  const Blocks blocks(products);
  const int64_t count = blocks.count();
  for (int thread = 0; thread < pool.num_threads(); ++thread) {
    int64_t bytes = 0;
    const int64_t end = pool.RunBegin(count, thread + 1);
    for (int64_t i = pool.RunBegin(count, thread);
         i < end && bytes < kMostBytes; ++i) {
      const Block block = blocks.At(i);
      const MatmulArgs& args = *block.args;
      // Rows that lie apart are somebody else's in between.
      if (args.w_stride != args.k) break;
      const int64_t size =
          (block.end - block.begin) * args.k * SizeOf(args.w_dtype);
      pool.FetchAhead(thread, {block.Rows(args.w), size});
      bytes += size;
      if (args.up == nullptr) continue;
      pool.FetchAhead(thread, {block.Rows(args.up), size});
      bytes += size;
    }
  }
}

}  // namespace facet
