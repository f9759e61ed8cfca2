// Regular expressions for the string formats of JSON Schema.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_FORMATS_H_
#define FACET_RUNTIME_GRAMMAR_JSON_FORMATS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace facet {

// A pattern whose matches all are of `format`; not every text of the format
// matches (no leap seconds, no quoted local parts of mail addresses, years 1000
// to 2999). None when the format is not implemented.
std::optional<std::string> PatternOfFormat(absl::string_view format);

// Formats that constrain nothing here: widths of numbers, hints for forms.
bool IsAnnotationFormat(absl::string_view format);

// The formats with a pattern, for messages.
std::string KnownFormats();

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_FORMATS_H_
