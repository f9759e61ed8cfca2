// How long requests to a chat server are: prompts and answers of the spread
// that logs of shared conversations show, from a seed. Both are mixtures of two
// lognormal distributions: short turns beside pasted texts, short replies
// beside essays. At scale 1 prompts have 212 tokens on average and answers 203.
#ifndef FACET_RPC_CLI_BENCH_SERVING_REQUEST_LENGTHS_H_
#define FACET_RPC_CLI_BENCH_SERVING_REQUEST_LENGTHS_H_

#include <cstdint>
#include <random>

namespace facet {

// exp(N(ln median, sigma)), drawn with probability `weight`.
struct LengthPart {
  double weight = 0;
  double median = 0;
  double sigma = 0;
};

inline constexpr LengthPart kPromptLengths[] = {{0.65, 24, 0.9},
                                                {0.35, 360, 0.9}};
inline constexpr LengthPart kAnswerLengths[] = {{0.30, 20, 1.0},
                                                {0.70, 230, 0.6}};
inline constexpr int64_t kLongestPrompt = 2048;
inline constexpr int64_t kLongestAnswer = 1024;

struct RequestLengths {
  int64_t prompt = 0;
  int64_t answer = 0;
};

class RequestLengthSource {
 public:
  // Every length, the longest included, is multiplied by `scale`; no prompt is
  // below 4 tokens and no answer below 2.
  //
  // REQUIRES: scale > 0.
  RequestLengthSource(double scale, uint64_t seed)
      : scale_(scale), random_(seed) {}

  RequestLengths Next();

 private:
  double Uniform();  // in (0, 1)
  int64_t Draw(const LengthPart (&parts)[2], int64_t shortest, int64_t longest);

  const double scale_;
  std::mt19937_64 random_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_REQUEST_LENGTHS_H_
