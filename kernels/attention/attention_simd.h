// The loops of the AVX2 and AVX-512 variants: panels of a few blocks of keys,
// each gone over by all rows of a task, so that keys and values come from
// memory once and from the second-level cache as often as there are tiles.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_

#include "kernels/attention/attention_tiles.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/base/simd.h"

namespace facet {
namespace FACET_SIMD {

FACET_INLINE float ExpOf(float x) {
  float lanes[16];
  Store(Exp(Set(x)), lanes);
  return lanes[0];
}

// Elements from `a` to `b`, which may lie in different allocations.
template <typename T>
FACET_INLINE int64_t Distance(const T* a, const T* b) {
  return (reinterpret_cast<intptr_t>(b) - reinterpret_cast<intptr_t>(a)) /
         static_cast<int64_t>(sizeof(T));
}

// Blocks that lie within one panel of a split.
template <typename T>
struct Panel {
  int64_t begin;  // of its first block
  int blocks;
  const T* k[kPanelBlocks];
  const T* v[kPanelBlocks];
  const T* next_k[kPanelBlocks];  // what comes behind each in the next panel
  const T* next_v[kPanelBlocks];
};

// Calls body(panel) for the keys of `task`, `most` blocks at a time.
template <typename T, typename Body>
FACET_INLINE void ForEachPanel(const AttentionArgs& args,
                               const AttentionTask& task, int most, Body body) {
  const int64_t last = args.first_position + task.token_begin + task.tokens;
  const T* const keys = static_cast<const T*>(args.k);
  const T* const values = static_cast<const T*>(args.v);
  for (int64_t begin = task.key_begin; begin < task.key_end;) {
    Panel<T> panel;
    panel.begin = begin;
    panel.blocks = 0;
    do {
      const int64_t offset = KeyOffset(args, task.kv_head, begin);
      panel.k[panel.blocks] = keys + offset;
      panel.v[panel.blocks] = values + offset;
      ++panel.blocks;
      begin += kAttentionBlock;
    } while (panel.blocks < most && begin < task.key_end &&
             begin % kPanelKeys != 0);
    for (int b = 0; b < panel.blocks; ++b) {
      const int64_t next = begin + b * kAttentionBlock;
      panel.next_k[b] = panel.k[b];
      panel.next_v[b] = panel.v[b];
      if (next >= last) continue;
      const int64_t offset = KeyOffset(args, task.kv_head, next);
      panel.next_k[b] = keys + offset;
      panel.next_v[b] = values + offset;
    }
    body(panel);
  }
}

// MR rows of a task.
template <int MR>
struct TileRows {
  TileRows(const AttentionArgs& args, const AttentionTask& task, int row) {
    for (int i = 0; i < MR; ++i) {
      const int64_t token = task.token_begin + (row + i) / task.heads;
      const int head = task.first_head + (row + i) % task.heads;
      q[i] = args.q + token * args.q_stride + head * int64_t{args.head_dim};
      position[i] = args.first_position + token;
    }
  }
  // What each sees of a block; returns what any does.
  VisibleKeys See(const AttentionArgs& args, int64_t block,
                  VisibleKeys* keys) const {
    VisibleKeys any = {kAttentionBlock, 0};
    for (int i = 0; i < MR; ++i) {
      keys[i] = VisibleInBlock(args, position[i], block);
      if (keys[i].lo >= keys[i].hi) continue;
      any.lo = keys[i].lo < any.lo ? keys[i].lo : any.lo;
      any.hi = keys[i].hi > any.hi ? keys[i].hi : any.hi;
    }
    return any;
  }
  const float* q[MR];
  int64_t position[MR];
};

// Softmax weights of MR rows over one block, in place of their scores; updates
// m and l and leaves in c what o is to be scaled by.
template <int MR>
FACET_INLINE void Weigh(const VisibleKeys* keys, float* scores, float* m,
                        float* l, float* c) {
  alignas(64) float before[16] = {}, largest[16] = {}, scale[16];
  for (int i = 0; i < MR; ++i) {
    float* row = scores + i * kPanelKeys;
    for (int j = 0; j < keys[i].lo && j < kAttentionBlock; ++j) {
      row[j] = -__builtin_inff();
    }
    for (int j = keys[i].hi < 0 ? 0 : keys[i].hi; j < kAttentionBlock; ++j) {
      row[j] = -__builtin_inff();
    }
    if (keys[i].lo >= keys[i].hi) continue;
    const float in_block = ReduceMax(Max(Load(row), Load(row + 16)));
    before[i] = m[i];
    largest[i] = m[i] < in_block ? in_block : m[i];
  }
  Store(Exp(Load(before) - Load(largest)), scale);
  for (int i = 0; i < MR; ++i) {
    c[i] = scale[i];
    float* row = scores + i * kPanelKeys;
    // A row that sees nothing: largest is 0, its weights come to 0, c to 1.
    const F32x16 p0 = Exp(Load(row) - Set(largest[i]));
    const F32x16 p1 = Exp(Load(row + 16) - Set(largest[i]));
    Store(p0, row);
    Store(p1, row + 16);
    if (keys[i].lo >= keys[i].hi) continue;
    l[i] = __builtin_fmaf(l[i], scale[i], ReduceAdd(p0 + p1));
    m[i] = largest[i];
  }
}

// Keys and values stream from memory page by page, each too short for the
// hardware to follow: with kFetch a block's values are fetched while its keys
// are read, and keys of the next panel while its values are.
template <int MR, bool kFetch, typename T>
void RowTile(const AttentionArgs& args, const AttentionTask& task,
             const Panel<T>& panel, int row, const AttentionState& state) {
  const int64_t dim = args.head_dim;
  const TileRows<MR> rows(args, task, row);
  alignas(64) float p[MR * kPanelKeys];
  float c[kPanelBlocks * MR];
  ValueBlock<T> blocks[kPanelBlocks];
  for (int b = 0; b < panel.blocks; ++b) {
    VisibleKeys keys[MR];
    const VisibleKeys any =
        rows.See(args, panel.begin + b * kAttentionBlock, keys);
    blocks[b] = {panel.v[b], Distance(panel.v[b], panel.next_k[b]), any.lo,
                 any.hi, c + b * MR};
    if (any.lo >= any.hi) continue;
    float* scores = p + b * kAttentionBlock;
    Scores<MR, kFetch>(rows.q, panel.k[b] + any.lo * dim, dim, any.hi - any.lo,
                       Distance(panel.k[b], panel.v[b]), scores + any.lo);
    Weigh<MR>(keys, scores, state.m + row, state.l + row, c + b * MR);
  }
  AddValues<MR, kFetch>(blocks, panel.blocks, p, 0, dim, dim,
                        state.o + row * dim);
}

// The scores of a panel alone; the keys of the next one are fetched.
template <int MR, typename T>
void ScoreRows(const AttentionArgs& args, const AttentionTask& task,
               const Panel<T>& panel, int row, float* scores) {
  const int64_t dim = args.head_dim;
  const TileRows<MR> rows(args, task, row);
  for (int b = 0; b < panel.blocks; ++b) {
    VisibleKeys keys[MR];
    const int64_t block = panel.begin + b * kAttentionBlock;
    const VisibleKeys any = rows.See(args, block, keys);
    if (any.lo >= any.hi) continue;
    Scores<MR, true>(rows.q, panel.k[b] + any.lo * dim, dim, any.hi - any.lo,
                     Distance(panel.k[b], panel.next_k[b]),
                     scores + row * kPanelKeys + block % kPanelKeys + any.lo);
  }
}

// Columns of o from the scores of a panel; m and l are those of the rows.
template <int MR, typename T>
void AddColumns(const AttentionArgs& args, const AttentionTask& task,
                const Panel<T>& panel, int row, const float* scores,
                int column_begin, int column_end, float* m, float* l,
                float* o) {
  const TileRows<MR> rows(args, task, row);
  alignas(64) float p[MR * kPanelKeys];
  std::memcpy(p, scores + row * kPanelKeys, sizeof(p));
  float c[kPanelBlocks * MR];
  ValueBlock<T> blocks[kPanelBlocks];
  const int64_t first = panel.begin % kPanelKeys;
  for (int b = 0; b < panel.blocks; ++b) {
    VisibleKeys keys[MR];
    const VisibleKeys any =
        rows.See(args, panel.begin + b * kAttentionBlock, keys);
    blocks[b] = {panel.v[b], Distance(panel.v[b], panel.next_v[b]), any.lo,
                 any.hi, c + b * MR};
    if (any.lo >= any.hi) continue;
    Weigh<MR>(keys, p + first + b * kAttentionBlock, m + row, l + row,
              c + b * MR);
  }
  AddValues<MR, true>(blocks, panel.blocks, p + first, column_begin, column_end,
                      args.head_dim, o + row * args.head_dim);
}

// Calls tile<MR, kFetch>(row) for tiles of kTileRows, of which the first
// fetches from memory, and for what is left; those fetch too, rather than exist
// twice.
template <typename Tile>
FACET_INLINE void ForEachTile(int rows, Tile tile) {
  int row = 0;
  if (rows >= kTileRows) {
    tile.template operator()<kTileRows, true>(0);
    row = kTileRows;
  }
  for (; row + kTileRows <= rows; row += kTileRows) {
    tile.template operator()<kTileRows, false>(row);
  }
  if constexpr (kTileRows > 4) {
    if (row + 4 <= rows) {
      tile.template operator()<4, true>(row);
      row += 4;
    }
  }
  switch (rows - row) {
    case 1:
      return tile.template operator()<1, true>(row);
    case 2:
      return tile.template operator()<2, true>(row);
    case 3:
      return tile.template operator()<3, true>(row);
  }
}

FACET_INLINE void Begin(int rows, float* m, float* l) {
  for (int r = 0; r < rows; ++r) {
    m[r] = -__builtin_inff();
    l[r] = 0;
  }
}

template <typename T>
void SplitOf(const AttentionArgs& args, const AttentionTask& task,
             const AttentionState& state) {
  const int rows = task.tokens * task.heads;
  Begin(rows, state.m, state.l);
  std::memset(state.o, 0, sizeof(float) * rows * args.head_dim);
  // With one tile of rows a block at a time keeps what is fetched close to its
  // use; with more, o is loaded and stored once per panel.
  const int most = rows > kTileRows ? kPanelBlocks : 1;
  ForEachPanel<T>(args, task, most, [&](const Panel<T>& panel) {
    ForEachTile(rows, [&]<int MR, bool kFetch>(int row) {
      RowTile<MR, kFetch>(args, task, panel, row, state);
    });
  });
}

// Where the scores of a panel lie among those of its split.
FACET_INLINE int64_t PanelOffset(int rows, int64_t begin) {
  return begin % kAttentionSplit / kPanelKeys * rows * kPanelKeys;
}

template <typename T>
void ScoreOf(const AttentionArgs& args, const AttentionTask& task,
             float* scores) {
  const int rows = task.tokens * task.heads;
  ForEachPanel<T>(args, task, kPanelBlocks, [&](const Panel<T>& panel) {
    float* at = scores + PanelOffset(rows, panel.begin);
    ForEachTile(rows, [&]<int MR, bool kFetch>(int row) {
      ScoreRows<MR>(args, task, panel, row, at);
    });
  });
}

template <typename T>
void ValuesOf(const AttentionArgs& args, const AttentionTask& task,
              const float* scores, int column_begin, int column_end,
              const AttentionState& state) {
  const int rows = task.tokens * task.heads;
  float m[kAttentionMaxRows], l[kAttentionMaxRows];
  Begin(rows, m, l);
  for (int r = 0; r < rows; ++r) {
    std::memset(state.o + r * int64_t{args.head_dim} + column_begin, 0,
                sizeof(float) * (column_end - column_begin));
  }
  ForEachPanel<T>(args, task, kPanelBlocks, [&](const Panel<T>& panel) {
    const float* at = scores + PanelOffset(rows, panel.begin);
    ForEachTile(rows, [&]<int MR, bool kFetch>(int row) {
      AddColumns<MR>(args, task, panel, row, at, column_begin, column_end, m, l,
                     state.o);
    });
  });
  if (column_begin > 0) return;
  std::memcpy(state.m, m, sizeof(float) * rows);
  std::memcpy(state.l, l, sizeof(float) * rows);
}

inline void Split(const AttentionArgs& args, const AttentionTask& task,
                  const AttentionState& state) {
  if (args.kv_dtype == DType::kF32) {
    SplitOf<float>(args, task, state);
  } else {
    SplitOf<BF16>(args, task, state);
  }
}

inline void Score(const AttentionArgs& args, const AttentionTask& task,
                  float* scores) {
  if (args.kv_dtype == DType::kF32) {
    ScoreOf<float>(args, task, scores);
  } else {
    ScoreOf<BF16>(args, task, scores);
  }
}

inline void Values(const AttentionArgs& args, const AttentionTask& task,
                   const float* scores, int column_begin, int column_end,
                   const AttentionState& state) {
  if (args.kv_dtype == DType::kF32) {
    ValuesOf<float>(args, task, scores, column_begin, column_end, state);
  } else {
    ValuesOf<BF16>(args, task, scores, column_begin, column_end, state);
  }
}

inline void Merge(int rows, int64_t dim, const AttentionState& total,
                  const AttentionState& next) {
  for (int r = 0; r < rows; ++r) {
    if (next.l[r] == 0) continue;
    const float m = total.m[r] < next.m[r] ? next.m[r] : total.m[r];
    const float a = total.l[r] == 0 ? 0.0f : ExpOf(total.m[r] - m);
    const float b = ExpOf(next.m[r] - m);
    total.l[r] = __builtin_fmaf(total.l[r], a, next.l[r] * b);
    total.m[r] = m;
    float* o = total.o + r * dim;
    const float* n = next.o + r * dim;
    for (int64_t d = 0; d < dim; d += 16) {
      const int count = static_cast<int>(dim - d < 16 ? dim - d : 16);
      const F32x16 sum = Fma(LoadPartial(o + d, count), Set(a),
                             LoadPartial(n + d, count) * Set(b));
      StorePartial(sum, o + d, count);
    }
  }
}

inline void Finish(const AttentionArgs& args, const AttentionTask& task,
                   const AttentionState& state) {
  const int64_t dim = args.head_dim;
  for (int r = 0; r < task.tokens * task.heads; ++r) {
    const int64_t token = task.token_begin + r / task.heads;
    const int head = task.first_head + r % task.heads;
    float* y = args.y + token * args.y_stride + head * dim;
    const F32x16 scale = Set(1.0f / state.l[r]);
    for (int64_t d = 0; d < dim; d += 16) {
      const int count = static_cast<int>(dim - d < 16 ? dim - d : 16);
      StorePartial(LoadPartial(state.o + r * dim + d, count) * scale, y + d,
                   count);
    }
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_
