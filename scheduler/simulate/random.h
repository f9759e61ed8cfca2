// Random numbers for workloads: the same for a seed on every machine.
#ifndef FACET_SCHEDULER_SIMULATE_RANDOM_H_
#define FACET_SCHEDULER_SIMULATE_RANDOM_H_

#include <cmath>
#include <cstdint>

namespace facet {

// Spreads the bits of `x` over all bits: equal only for equal `x`. The
// finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
inline uint64_t ScrambleBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(ScrambleBits(seed)) {}

  uint64_t Bits() { return ScrambleBits(state_++); }

  // In [0, 1).
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }

  // A whole number in [least, most]. REQUIRES: least <= most.
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(
                       Bits() % static_cast<uint64_t>(most - least + 1));
  }

  bool Chance(double probability) { return Uniform() < probability; }

  double Exponential(double mean) { return -mean * std::log(1 - Uniform()); }

  // exp(N(log(median), sigma^2)), by Box and Muller's method.
  double LogNormal(double median, double sigma) {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return median *
           std::exp(sigma * radius * std::cos(6.283185307179586 * Uniform()));
  }

 private:
  uint64_t state_;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_RANDOM_H_
