// Early return for absl::Status and absl::StatusOr.
#ifndef FACET_KERNELS_BASE_STATUS_MACROS_H_
#define FACET_KERNELS_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define FACET_RETURN_IF_ERROR(expression)        \
  do {                                           \
    absl::Status facet_status = (expression);    \
    if (!facet_status.ok()) return facet_status; \
  } while (false)

#define FACET_CONCAT_INNER(a, b) a##b
#define FACET_CONCAT(a, b) FACET_CONCAT_INNER(a, b)

// FACET_ASSIGN_OR_RETURN(auto x, MakeX());
#define FACET_ASSIGN_OR_RETURN(declaration, expression)               \
  auto FACET_CONCAT(facet_result_, __LINE__) = (expression);          \
  if (!FACET_CONCAT(facet_result_, __LINE__).ok()) {                  \
    return std::move(FACET_CONCAT(facet_result_, __LINE__)).status(); \
  }                                                                   \
  declaration = *std::move(FACET_CONCAT(facet_result_, __LINE__))

namespace facet {

// The same error with "`context`: " in front of its message.
inline absl::Status Annotate(const absl::Status& status,
                             absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_STATUS_MACROS_H_
