// The routed experts of one layer. For every token t and chosen expert e:
//   y[t] = sum_e weights[t, e] * (down_e (gelu(gate_e x[t]) * (up_e x[t])))
//
// Order of additions: products weights * output round before they are added;
// experts of one virtual shard (`experts_per_shard` neighbours) are added in
// rising order, shards along a binary tree, (0 + 1) + (2 + 3) and so on. Sums
// start at +0. An expert's weights are read once per call, whatever the number
// of its tokens.
#ifndef FACET_KERNELS_EXPERTS_EXPERTS_H_
#define FACET_KERNELS_EXPERTS_EXPERTS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"
#include "kernels/matmul/matmul.h"

namespace facet {

struct ExpertsArgs {
  int64_t tokens = 0;
  int64_t hidden = 0;
  int64_t width = 0;  // of one expert
  int experts_per_token = 0;
  const float* x = nullptr;         // [tokens, hidden]
  const int32_t* chosen = nullptr;  // [tokens, K]
  const float* weights = nullptr;   // [tokens, K]

  // The experts at hand: [first_expert, first_expert + experts), a whole number
  // of virtual shards. Others are another rank's.
  int64_t first_expert = 0;
  int64_t experts = 0;
  int64_t experts_per_shard = 1;
  // Of several ranks with the same experts, this one computes the tokens with
  // t % replicas == replica; y of the others is zero.
  int replicas = 1;
  int replica = 0;

  const void* gate_up = nullptr;  // [experts, 2 width, hidden], gates first
  DType gate_up_dtype = DType::kBF16;
  int64_t gate_up_stride = 0;  // elements from row to row
  const void* down = nullptr;  // [experts, hidden, width]
  DType down_dtype = DType::kBF16;
  int64_t down_stride = 0;
  bool bf16_inputs = false;

  // Independent products that may share a parallel region with the experts.
  absl::Span<const MatmulArgs> beside;

  // Of the operation after this one, see FetchWeightsAhead().
  absl::Span<const MatmulArgs> next;

  float* y = nullptr;  // [tokens, hidden], not overlapping x
};

// What a call needs to remember; kept from call to call for its memory.
struct ExpertsScratch {
  // (token, weight) of each pair at hand, by expert.
  std::vector<int32_t> pair_rows;
  std::vector<float> pair_weights;
  std::vector<int64_t> expert_begin;  // of each expert, in pairs
  std::vector<int64_t> next;
  // Pairs of each token: [token_begin[t], token_begin[t + 1]), by expert.
  std::vector<int64_t> token_begin;
  std::vector<std::pair<int32_t, int64_t>> token_pairs;  // expert, pair
  std::vector<MatmulArgs> first, second;                 // products
  std::vector<float> activated;                          // [pairs, width]
  std::vector<float> output;                             // [pairs, hidden]
};

// Three parallel regions: gated products, down products, sums.
void Experts(const ExpertsArgs& args, ExpertsScratch& scratch,
             ThreadPool& pool);

}  // namespace facet

#endif  // FACET_KERNELS_EXPERTS_EXPERTS_H_
