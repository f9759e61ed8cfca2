#include "kernels/sampling/philox.h"

namespace facet {
namespace {

constexpr int kRounds = 10;
constexpr uint64_t kMultiplier[2] = {0xD2511F53u, 0xCD9E8D57u};
// Added to the key after each round: the golden ratio and sqrt(3) - 1.
constexpr uint32_t kKeyStep[2] = {0x9E3779B9u, 0xBB67AE85u};

uint32_t High(uint64_t x) { return static_cast<uint32_t>(x >> 32); }
uint32_t Low(uint64_t x) { return static_cast<uint32_t>(x); }

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t a = kMultiplier[0] * counter[0];
    const uint64_t b = kMultiplier[1] * counter[2];
    counter = {High(b) ^ counter[1] ^ key[0], Low(b),
               High(a) ^ counter[3] ^ key[1], Low(a)};
    key[0] += kKeyStep[0];
    key[1] += kKeyStep[1];
  }
  return counter;
}

}  // namespace facet
