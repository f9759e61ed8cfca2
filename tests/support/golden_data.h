// What the reference implementation computed, read from a golden.safetensors.
#ifndef FACET_TESTS_SUPPORT_GOLDEN_DATA_H_
#define FACET_TESTS_SUPPORT_GOLDEN_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/checkpoint/checkpoint.h"

namespace facet {

class GoldenData {
 public:
  // `directory` holds golden.safetensors.
  static absl::StatusOr<GoldenData> Read(const std::string& directory);

  // "p0", "p1", …: the prompts of text.
  std::vector<std::string> TextPrompts() const;
  bool Has(const std::string& name) const;
  // REQUIRES: Has(name).
  std::vector<float> Floats(const std::string& name) const;  // f32 or bf16
  std::vector<int32_t> Ints(const std::string& name) const;
  std::vector<int64_t> Shape(const std::string& name) const;

 private:
  std::unique_ptr<Checkpoint> file_;
};

}  // namespace facet

#endif  // FACET_TESTS_SUPPORT_GOLDEN_DATA_H_
