// Chooses experts: p = softmax(logits) over all experts, the K largest of p
// (ties to the lower expert), renormalised to sum to one, then times
// per_expert_scale.
#ifndef FACET_KERNELS_ROUTER_ROUTER_H_
#define FACET_KERNELS_ROUTER_ROUTER_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct RouterArgs {
  int64_t tokens = 0;
  int experts = 0;
  int experts_per_token = 0;                // K <= experts
  const float* logits = nullptr;            // [tokens, experts]
  const float* per_expert_scale = nullptr;  // [experts]
  float* probabilities = nullptr;           // [tokens, experts]
  int32_t* chosen = nullptr;  // [tokens, K], by falling probability
  float* weights = nullptr;   // [tokens, K]
};

// The softmax sums in 16 lanes like every sum in Facet; the K probabilities are
// added in the order of `chosen`.
void Router(const RouterArgs& args, ThreadPool& pool);

struct RouterVariant {
  const char* name;
  Isa isa;
  void (*run)(const RouterArgs& args, int64_t begin, int64_t end);  // tokens
};
absl::Span<const RouterVariant> RouterVariants();

}  // namespace facet

#endif  // FACET_KERNELS_ROUTER_ROUTER_H_
