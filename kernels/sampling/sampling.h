// From logits to a token. What runs over a whole vocabulary has a variant per
// instruction set, with the same bits; choosing and drawing is plain scalar
// code.
#ifndef FACET_KERNELS_SAMPLING_SAMPLING_H_
#define FACET_KERNELS_SAMPLING_SAMPLING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"

namespace facet {

struct TokenLogit {
  int32_t token = 0;
  float logit = 0;
};

// The k largest logits of a slice of the vocabulary that starts at `first`,
// best first, ties to the lower token; fewer when the slice is smaller. NaNs
// are left out, so nothing comes back from a slice that is all NaN.
std::vector<TokenLogit> TopLogits(absl::Span<const float> logits, int32_t first,
                                  int k);

// The largest k for which a device lists them.
inline constexpr int kMostDeviceTop = 256;

// Merges lists that are each sorted as above into the k best.
std::vector<TokenLogit> MergeTopLogits(
    absl::Span<const std::vector<TokenLogit>> lists, int k);

// max and sum_i exp(logit_i - max) of one slice, the sum in 16 lanes like every
// sum in Facet; slices are combined in order by CombineExpSums(), so a fixed
// cut of the vocabulary gives fixed bits. An empty slice is (-infinity, 0).
struct ExpSum {
  float max = 0;
  float sum = 0;
};
ExpSum SumExp(absl::Span<const float> logits);
// log(sum exp) over all slices, added along a binary tree. REQUIRES: a power of
// two of slices.
float CombineExpSums(absl::Span<const ExpSum> slices);

struct DrawOptions {
  float temperature = 0;  // 0: the best candidate
  int top_k = 0;          // 0: off
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  uint64_t seed = 0;
  int64_t position = 0;  // of the token that is drawn
};

// Draws one of `candidates` (sorted best first; all of the vocabulary, or at
// least the top_k best of it). Softmax at `temperature` over the top_k best,
// then the shortest prefix whose mass reaches top_p, then those with at least
// min_p times the best one's probability; the best one always stays. What is
// left is walked in rising order of token up to a random point, which depends
// on seed and position alone (RandomBitsAt()). Masses are whole numbers, see
// mass.h.
//
// REQUIRES: candidates is not empty.
int32_t Draw(absl::Span<const TokenLogit> candidates,
             const DrawOptions& options);

// The same draw, when `head` holds only the best of the candidates and `total`
// is the mass of all: nothing when it may fall behind the head. top_k is
// ignored.
//
// REQUIRES: head is not empty, its best logit is finite, temperature > 0.
std::optional<int32_t> DrawFromHead(absl::Span<const TokenLogit> head,
                                    uint64_t total, const DrawOptions& options);

// 64 bits: Philox4x32-10 (Salmon et al., SC 2011) with the seed as key and the
// position as counter.
uint64_t RandomBitsAt(uint64_t seed, int64_t position);

// One implementation of what runs over many logits.
struct SamplingVariant {
  const char* name;
  Isa isa;
  // The largest that is not a NaN; -infinity when there is none.
  float (*max)(const float* x, int64_t count);
  // sum exp(x[i] - max)
  float (*sum_exp)(const float* x, int64_t count, float max);
  // x[i] <- exp((x[i] - best) / temperature); 0 for a NaN
  void (*weigh)(float* x, int64_t count, float best, float temperature);
  // sum ToMass(weights[i]). REQUIRES: 0 <= weights[i] <= 1, count <= 4096.
  uint64_t (*mass)(const float* weights, int64_t count);
};
absl::Span<const SamplingVariant> SamplingVariants();
const SamplingVariant& ActiveSamplingVariant();

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_SAMPLING_H_
