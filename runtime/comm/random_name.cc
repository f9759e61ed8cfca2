#include "runtime/comm/random_name.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "kernels/base/check.h"

namespace facet {

std::string RandomName() {
  char bytes[16];
  FACET_CHECK(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

}  // namespace facet
