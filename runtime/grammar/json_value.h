// A JSON document as a tree that keeps what a schema needs: the order of
// members, the spelling of numbers, and where each value stands.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_VALUE_H_
#define FACET_RUNTIME_GRAMMAR_JSON_VALUE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar_limits.h"

namespace facet {

enum class JsonKind { kNull, kBoolean, kNumber, kString, kArray, kObject };

struct JsonValue {
  JsonKind kind = JsonKind::kNull;
  bool boolean = false;
  std::string text;  // the characters of a string, the digits of a number
  std::string name;  // of this value in its object
  std::vector<JsonValue> items;       // of an array, or values of an object
  const JsonValue* parent = nullptr;  // null for the document

  bool is(JsonKind k) const { return kind == k; }
  // The member `name` of an object, or null.
  const JsonValue* Find(absl::string_view name) const;
};

// "#/properties/name": a URI fragment with a JSON pointer.
std::string PointerTo(const JsonValue& value);

// The value that `pointer` ("" or "/a/0/b", decoded from a URI fragment) leads
// to from `document`, or null.
const JsonValue* FindPointer(const JsonValue& document,
                             absl::string_view pointer);

// `value` without white space.
std::string CompactText(const JsonValue& value);

// `text` as a JSON string, with its quotes. What need not be escaped is not.
std::string JsonQuoted(absl::string_view text);

// Errors: INVALID_ARGUMENT when `text` is not JSON or has two members of one
// name in an object; RESOURCE_EXHAUSTED above GrammarLimits::max_nesting.
absl::StatusOr<std::unique_ptr<const JsonValue>> ParseJsonValue(
    absl::string_view text, const GrammarLimits& limits);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_VALUE_H_
