#include "rpc/openai/random_id.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"

namespace facet {

std::string RandomId(absl::string_view prefix) {
  thread_local std::random_device device;
  std::string id(prefix.data(), prefix.size());
  for (int i = 0; i < 3; ++i) {
    absl::StrAppend(
        &id, absl::Hex(static_cast<uint32_t>(device()), absl::kZeroPad8));
  }
  return id;
}

}  // namespace facet
