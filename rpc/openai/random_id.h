// Names that nobody else has.
#ifndef FACET_RPC_OPENAI_RANDOM_ID_H_
#define FACET_RPC_OPENAI_RANDOM_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace facet {

// `prefix` and 24 hexadecimal digits of the system's randomness.
std::string RandomId(absl::string_view prefix);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_RANDOM_ID_H_
