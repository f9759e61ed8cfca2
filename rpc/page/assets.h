// The files of the page, as they are in assets/, inside the binary.
#ifndef FACET_RPC_PAGE_ASSETS_H_
#define FACET_RPC_PAGE_ASSETS_H_

#include "absl/strings/string_view.h"

namespace facet {

// The bytes of the file of that name; empty: there is none.
absl::string_view Asset(absl::string_view name);

}  // namespace facet

#endif  // FACET_RPC_PAGE_ASSETS_H_
