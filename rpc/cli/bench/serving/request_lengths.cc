#include "rpc/cli/bench/serving/request_lengths.h"

#include <algorithm>
#include <cmath>

namespace facet {

RequestLengths RequestLengthSource::Next() {
  RequestLengths lengths;
  lengths.prompt = Draw(kPromptLengths, 4, kLongestPrompt);
  lengths.answer = Draw(kAnswerLengths, 2, kLongestAnswer);
  return lengths;
}

// The library's distributions differ from one library to the next.
double RequestLengthSource::Uniform() {
  return (static_cast<double>(random_() >> 11) + 0.5) / (uint64_t{1} << 53);
}

int64_t RequestLengthSource::Draw(const LengthPart (&parts)[2],
                                  int64_t shortest, int64_t longest) {
  const LengthPart& part = parts[Uniform() < parts[0].weight ? 0 : 1];
  const double radius = std::sqrt(-2 * std::log(Uniform()));
  const double normal = radius * std::cos(2 * M_PI * Uniform());
  const double length =
      std::min<double>(part.median * std::exp(part.sigma * normal), longest);
  return std::max<int64_t>(shortest, std::llround(length * scale_));
}

}  // namespace facet
