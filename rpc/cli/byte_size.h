// Sizes of memory as people write and read them.
#ifndef FACET_RPC_CLI_BYTE_SIZE_H_
#define FACET_RPC_CLI_BYTE_SIZE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace facet {

// "512M", "2G", "1.5G", "4096": K, M, G and T are powers of 1024; "iB" and "B"
// may follow them.
//
// Errors: INVALID_ARGUMENT showing the form.
absl::StatusOr<int64_t> ParseByteSize(const std::string& text);

// "512 B", "1.5 GiB".
std::string FormatByteSize(int64_t bytes);

}  // namespace facet

#endif  // FACET_RPC_CLI_BYTE_SIZE_H_
