// The contract's softmax, lane by lane, and the choice that all variants share.
#include <algorithm>

#include "kernels/base/math.h"
#include "kernels/router/router_variants.h"

namespace facet {
namespace {

void Softmax(const float* logits, int count, float* p) {
  const float max = *std::max_element(logits, logits + count);
  float lanes[16] = {};
  for (int i = 0; i < count; ++i) {
    p[i] = Exp(logits[i] - max);
    lanes[i % 16] += p[i];
  }
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  for (int i = 0; i < count; ++i) p[i] /= lanes[0];
}

// Keeps the K best so far in order; an equal probability goes behind, so ties
// break towards the lower expert. Always K distinct experts, NaNs or not.
void ChooseFor(const RouterArgs& args, const float* p, int32_t* chosen) {
  int count = 0;
  for (int expert = 0; expert < args.experts; ++expert) {
    int place = count;
    while (place > 0 && p[expert] > p[chosen[place - 1]]) --place;
    if (place == args.experts_per_token) continue;
    if (count < args.experts_per_token) ++count;
    for (int i = count - 1; i > place; --i) chosen[i] = chosen[i - 1];
    chosen[place] = expert;
  }
}

}  // namespace

void ChooseExperts(const RouterArgs& args, int64_t begin, int64_t end) {
  const int k = args.experts_per_token;
  for (int64_t t = begin; t < end; ++t) {
    const float* p = args.probabilities + t * args.experts;
    int32_t* chosen = args.chosen + t * k;
    ChooseFor(args, p, chosen);
    float sum = 0;
    for (int i = 0; i < k; ++i) sum += p[chosen[i]];
    for (int i = 0; i < k; ++i) {
      args.weights[t * k + i] =
          p[chosen[i]] / sum * args.per_expert_scale[chosen[i]];
    }
  }
}

void RouterReference(const RouterArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    Softmax(args.logits + t * args.experts, args.experts,
            args.probabilities + t * args.experts);
  }
  ChooseExperts(args, begin, end);
}

}  // namespace facet
