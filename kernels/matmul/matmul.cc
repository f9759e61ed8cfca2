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

// Bytes of w in one block: with few rows of x, small enough that threads finish
// together; with many, half of a usual L2, where the rows of x then meet it.
constexpr int64_t kStreamBytes = int64_t{96} << 10;
constexpr int64_t kCacheBytes = int64_t{384} << 10;

int64_t RowsPerBlock(const MatmulArgs& args) {
  const int64_t matrices = args.up != nullptr ? 2 : 1;
  const int64_t row_bytes = matrices * args.k * SizeOf(args.w_dtype);
  const int64_t bytes = args.m <= 16 ? kStreamBytes : kCacheBytes;
  // Multiples of 12 are whole tiles of every variant.
  const int64_t rows = bytes / std::max<int64_t>(row_bytes, 1) / 12 * 12;
  return std::clamp<int64_t>(rows, 12, kMatmulMaxBlock);
}

struct Scratch {
  float* Get(int64_t floats) {
    if (static_cast<int64_t>(values.size()) < floats) values.resize(floats);
    return values.data();
  }
  std::vector<float> values;
};

// Rows of x between a product and its gate: what both wrote is still in the
// cache when they meet.
constexpr int64_t kGatedRows = 64;

// Rows [begin, end) of w and up. `scratch` has kGatedRows * (end - begin)
// floats behind those of a variant's call.
void RunGated(const MatmulVariant& variant, const MatmulArgs& args,
              int64_t begin, int64_t end, float* scratch) {
  FACET_DCHECK(args.segments == 1);
  const int64_t columns = end - begin;
  float* up = scratch + MatmulScratchFloats(args);
  MatmulArgs part = args;
  for (int64_t m = 0; m < args.m; m += kGatedRows) {
    part.m = std::min(kGatedRows, args.m - m);
    if (args.x_rows != nullptr) {
      part.x_rows = args.x_rows + m;
    } else {
      part.x = args.x + m * args.x_stride;
    }
    float* gate = args.y + m * args.y_stride;
    part.w = args.w;
    part.y = gate;
    part.y_stride = args.y_stride;
    variant.run(part, begin, end, scratch);
    part.w = static_cast<const uint8_t*>(args.up) +
             begin * args.w_stride * SizeOf(args.w_dtype);
    part.y = up;
    part.y_stride = columns;
    variant.run(part, 0, columns, scratch);
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

}  // namespace

absl::Span<const MatmulVariant> MatmulVariants() {
  return RunnableVariants(kBestFirst);
}

int64_t MatmulScratchFloats(const MatmulArgs& args) {
  return args.segments * 4 * kMatmulMaxBlock + 4 * args.k;
}

bool MatmulUsesBf16DotProduct() { return ActiveIsa() == Isa::kAvx512Bf16; }

void Matmul(absl::Span<const MatmulArgs> problems, ThreadPool& pool) {
  const MatmulVariant& variant = ActiveVariant(kBestFirst);
  // first[p]: the number of blocks before problem p.
  constexpr int kInline = 8;
  int64_t inline_first[kInline + 1];
  std::vector<int64_t> heap_first;
  int64_t* first = inline_first;
  if (problems.size() > kInline) {
    heap_first.resize(problems.size() + 1);
    first = heap_first.data();
  }
  first[0] = 0;
  for (size_t p = 0; p < problems.size(); ++p) {
    const MatmulArgs& args = problems[p];
    FACET_DCHECK(args.segments >= 1 && args.k % args.segments == 0);
    const int64_t rows = RowsPerBlock(args);
    first[p + 1] = first[p] + (args.m > 0 ? (args.n + rows - 1) / rows : 0);
  }
  pool.ParallelDynamic(first[problems.size()], [&](int, int64_t block) {
    static thread_local Scratch scratch;
    const size_t p =
        std::upper_bound(first, first + problems.size() + 1, block) - first - 1;
    const MatmulArgs& args = problems[p];
    const int64_t rows = RowsPerBlock(args);
    const int64_t begin = (block - first[p]) * rows;
    const int64_t end = std::min(args.n, begin + rows);
    if (args.up != nullptr) {
      RunGated(variant, args, begin, end,
               scratch.Get(MatmulScratchFloats(args) + kGatedRows * rows));
    } else {
      variant.run(args, begin, end, scratch.Get(MatmulScratchFloats(args)));
    }
  });
}

}  // namespace facet
