// Text as Python's str methods treat it. Chat templates were written for Jinja
// on Python, so a prompt is only exact if these are.
//
// Bytes that are not UTF-8 pass through unchanged.
#ifndef FACET_RUNTIME_CHAT_PYTHON_TEXT_H_
#define FACET_RUNTIME_CHAT_PYTHON_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace facet {

// str.strip(): without the white space at both ends, Unicode's included.
absl::string_view PythonStrip(absl::string_view text);

// str.lower() and str.upper(), except that a capital sigma at the end of a word
// becomes an ordinary small one.
std::string PythonLower(absl::string_view text);
std::string PythonUpper(absl::string_view text);

// repr() of a string: quoted, with what cannot be printed escaped.
std::string PythonQuoted(absl::string_view text);

// repr() of a float: the shortest digits that read back as the same number.
std::string PythonFloat(double value);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_PYTHON_TEXT_H_
