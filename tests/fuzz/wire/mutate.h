// Bytes that were once right.
#ifndef FACET_TESTS_FUZZ_WIRE_MUTATE_H_
#define FACET_TESTS_FUZZ_WIRE_MUTATE_H_

#include <cstddef>
#include <random>
#include <string>

namespace facet {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t Below(size_t n) { return random_() % n; }
  bool OneIn(size_t n) { return Below(n) == 0; }
  uint64_t Word() { return random_(); }

  std::string Bytes(size_t most) {
    std::string bytes(Below(most + 1), '\0');
    for (char& c : bytes) c = static_cast<char>(random_());
    return bytes;
  }

  // With a few bytes changed, taken out, repeated, or the end cut off.
  std::string Spoil(std::string bytes) {
    for (size_t i = 1 + Below(4); i > 0; --i) {
      const size_t at = Below(bytes.size() + 1);
      switch (Below(4)) {
        case 0:
          if (at < bytes.size()) bytes[at] = static_cast<char>(random_());
          break;
        case 1:
          bytes.erase(at, 1 + Below(8));
          break;
        case 2:
          bytes.insert(at, bytes.substr(Below(bytes.size() + 1), Below(16)));
          break;
        case 3:
          if (OneIn(4)) bytes.resize(at);
          break;
      }
    }
    return bytes;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace facet

#endif  // FACET_TESTS_FUZZ_WIRE_MUTATE_H_
