#include "kernels/experts/experts.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/check.h"

namespace facet {
namespace {

// Grows without a copy of what it held.
template <typename T>
T* Room(std::vector<T>& values, int64_t count) {
  if (static_cast<int64_t>(values.size()) < count) {
    values.clear();
    values.resize(count);
  }
  return values.data();
}

// Groups the (token, expert) pairs at hand by expert; returns how many.
int64_t GroupPairs(const ExpertsArgs& args, ExpertsScratch& s) {
  const int k = args.experts_per_token;
  const auto mine = [&](int64_t t) {
    return t % args.replicas == args.replica;
  };
  const auto local = [&](int64_t expert) {
    return expert >= args.first_expert &&
           expert < args.first_expert + args.experts;
  };
  s.expert_begin.assign(args.experts + 1, 0);
  for (int64_t t = 0; t < args.tokens; ++t) {
    if (!mine(t)) continue;
    for (int j = 0; j < k; ++j) {
      const int64_t expert = args.chosen[t * k + j];
      if (local(expert)) ++s.expert_begin[expert - args.first_expert + 1];
    }
  }
  for (int64_t i = 0; i < args.experts; ++i) {
    s.expert_begin[i + 1] += s.expert_begin[i];
  }
  const int64_t pairs = s.expert_begin[args.experts];
  s.pair_rows.resize(pairs);
  s.pair_weights.resize(pairs);
  s.token_begin.assign(args.tokens + 1, 0);
  s.token_pairs.clear();
  s.next.assign(s.expert_begin.begin(), s.expert_begin.end());
  for (int64_t t = 0; t < args.tokens; ++t) {
    s.token_begin[t] = static_cast<int64_t>(s.token_pairs.size());
    if (!mine(t)) continue;
    for (int j = 0; j < k; ++j) {
      const int32_t expert = args.chosen[t * k + j];
      if (!local(expert)) continue;
      const int64_t pair = s.next[expert - args.first_expert]++;
      s.pair_rows[pair] = static_cast<int32_t>(t);
      s.pair_weights[pair] = args.weights[t * k + j];
      s.token_pairs.emplace_back(expert, pair);
    }
    std::sort(s.token_pairs.begin() + s.token_begin[t], s.token_pairs.end());
  }
  s.token_begin[args.tokens] = static_cast<int64_t>(s.token_pairs.size());
  return pairs;
}

const void* Offset(const void* data, int64_t elements, DType dtype) {
  return static_cast<const uint8_t*>(data) + elements * SizeOf(dtype);
}

// Weighted sums of tokens [begin, end).
void Combine(const ExpertsArgs& args, const ExpertsScratch& s, int64_t begin,
             int64_t end) {
  const int64_t hidden = args.hidden;
  const int64_t shards = args.experts / args.experts_per_shard;
  std::vector<float> sums(shards * hidden);
  // An empty shard's +0 changes no other sum, for none of them is -0.
  std::vector<char> filled(shards);
  for (int64_t t = begin; t < end; ++t) {
    std::fill(filled.begin(), filled.end(), 0);
    for (int64_t i = s.token_begin[t]; i < s.token_begin[t + 1]; ++i) {
      const auto [expert, pair] = s.token_pairs[i];
      const int64_t shard =
          (expert - args.first_expert) / args.experts_per_shard;
      float* __restrict sum = sums.data() + shard * hidden;
      const float* __restrict y = s.output.data() + pair * hidden;
      const float weight = s.pair_weights[pair];
      if (filled[shard]) {
        for (int64_t d = 0; d < hidden; ++d) sum[d] += weight * y[d];
      } else {
        for (int64_t d = 0; d < hidden; ++d) sum[d] = 0.0f + weight * y[d];
        filled[shard] = 1;
      }
    }
    for (int64_t step = 1; step < shards; step *= 2) {
      for (int64_t a = 0; a + step < shards; a += 2 * step) {
        if (!filled[a + step]) continue;
        float* __restrict to = sums.data() + a * hidden;
        const float* __restrict from = sums.data() + (a + step) * hidden;
        if (filled[a]) {
          for (int64_t d = 0; d < hidden; ++d) to[d] += from[d];
        } else {
          std::memcpy(to, from, hidden * sizeof(float));
          filled[a] = 1;
        }
      }
    }
    float* y = args.y + t * hidden;
    if (filled[0]) {
      std::memcpy(y, sums.data(), hidden * sizeof(float));
    } else {
      std::fill(y, y + hidden, 0.0f);
    }
  }
}

}  // namespace

void Experts(const ExpertsArgs& args, ExpertsScratch& s, ThreadPool& pool) {
  FACET_DCHECK(args.experts % args.experts_per_shard == 0);
  const int64_t hidden = args.hidden, width = args.width;
  const int64_t pairs = GroupPairs(args, s);
  float* activated = Room(s.activated, pairs * width);
  float* output = Room(s.output, pairs * hidden);
  const auto for_each_expert = [&](auto emit) {
    for (int64_t i = 0; i < args.experts; ++i) {
      const int64_t count = s.expert_begin[i + 1] - s.expert_begin[i];
      if (count > 0) emit(i, s.expert_begin[i], count);
    }
  };

  s.first.assign(args.beside.begin(), args.beside.end());
  s.second.clear();
  for_each_expert([&](int64_t i, int64_t begin, int64_t count) {
    MatmulArgs product;
    product.m = count;
    product.n = width;
    product.k = hidden;
    product.x = args.x;
    product.x_stride = hidden;
    product.x_rows = s.pair_rows.data() + begin;
    product.w = Offset(args.gate_up, 2 * i * width * args.gate_up_stride,
                       args.gate_up_dtype);
    product.up =
        Offset(product.w, width * args.gate_up_stride, args.gate_up_dtype);
    product.w_dtype = args.gate_up_dtype;
    product.w_stride = args.gate_up_stride;
    product.bf16_inputs = args.bf16_inputs;
    product.y = activated + begin * width;
    product.y_stride = width;
    s.first.push_back(product);

    product = MatmulArgs();
    product.m = count;
    product.n = hidden;
    product.k = width;
    product.x = activated + begin * width;
    product.x_stride = width;
    product.w =
        Offset(args.down, i * hidden * args.down_stride, args.down_dtype);
    product.w_dtype = args.down_dtype;
    product.w_stride = args.down_stride;
    product.bf16_inputs = args.bf16_inputs;
    product.y = output + begin * hidden;
    product.y_stride = hidden;
    s.second.push_back(product);
  });
  FetchWeightsAhead(s.second, pool);
  Matmul(s.first, pool);
  FetchWeightsAhead(args.next, pool);
  Matmul(s.second, pool);

  // A few microseconds of work for a thread at least.
  const int64_t grain = std::max<int64_t>(
      1, 16384 / std::max<int64_t>(1, hidden * args.experts_per_token));
  pool.ParallelFor(args.tokens, grain, [&](int64_t begin, int64_t end) {
    Combine(args, s, begin, end);
  });
}

}  // namespace facet
