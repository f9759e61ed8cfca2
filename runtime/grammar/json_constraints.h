// What a value has to satisfy when several schemas hold at once: a schema and
// what it refers to, both sides of an allOf, one choice of each anyOf. Keywords
// are understood and checked here; json_schema.cc makes texts of the result.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_CONSTRAINTS_H_
#define FACET_RUNTIME_GRAMMAR_JSON_CONSTRAINTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar_limits.h"
#include "runtime/grammar/json_number.h"
#include "runtime/grammar/json_value.h"

namespace facet {

// Schemas that all hold at once; none at all is `true`.
using SchemaList = std::vector<const JsonValue*>;

// A set of types, one bit each. "number" is kIntegerType | kFractionType.
enum JsonTypeBit : int {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kFractionType = 8,
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAnyType = 127,
};

int TypeOf(const JsonValue& value);

struct CountRange {
  int64_t min = 0;
  std::optional<int64_t> max;
};

// The keywords of one schema about one kind of container; null = absent.
struct ObjectShape {
  const JsonValue* properties = nullptr;
  const JsonValue* additional = nullptr;  // additionalProperties
  const JsonValue* pattern = nullptr;     // patternProperties
  const JsonValue* names = nullptr;       // propertyNames
};
struct ArrayShape {
  const JsonValue* prefix = nullptr;  // an array of schemas
  const JsonValue* items = nullptr;   // for all behind the prefix
};

// The conjunction of some schemas.
struct JsonConstraints {
  bool never = false;
  int types = kAnyType;
  // The only values possible, from enum and const.
  std::optional<std::vector<const JsonValue*>> values;
  NumberRange number;
  CountRange length;                       // of strings
  CountRange items;                        // of arrays
  CountRange members;                      // of objects
  std::vector<const JsonValue*> patterns;  // the strings of `pattern`
  std::vector<const JsonValue*> formats;   // the strings of `format`
  std::vector<ObjectShape> objects;
  std::vector<ArrayShape> arrays;
  std::vector<const JsonValue*> required;  // arrays of names
  // anyOf and oneOf, of which one branch each has to be chosen.
  std::vector<const JsonValue*> choices;
  SchemaList seen;  // schemas that are part of this
};

class ConstraintReader {
 public:
  // `document` outlives the reader.
  ConstraintReader(const JsonValue* document, const GrammarLimits& limits)
      : document_(*document), limits_(limits) {}

  // What holds when all of `schemas` hold, as alternatives: one for each
  // combination of anyOf and oneOf branches, those that are plainly impossible
  // left out.
  //
  // Errors: INVALID_ARGUMENT for what is not a schema, a keyword that is not
  // implemented, or oneOf branches that might overlap, by JSON pointer;
  // RESOURCE_EXHAUSTED above GrammarLimits::max_alternatives.
  absl::StatusOr<std::vector<JsonConstraints>> Read(const SchemaList& schemas);

  // Follows `schema` while it is nothing but a $ref.
  absl::StatusOr<const JsonValue*> Resolve(const JsonValue* schema);

  // The branches, if `schema` is an anyOf (or a oneOf whose branches exclude
  // each other) and says nothing else.
  absl::StatusOr<std::optional<SchemaList>> PureChoice(const JsonValue& schema);

 private:
  absl::Status Add(const JsonValue& schema, JsonConstraints* out);
  absl::Status AddKeyword(const JsonValue& keyword, JsonConstraints* out,
                          ObjectShape* object, ArrayShape* array);
  absl::Status Expand(JsonConstraints constraints, size_t next_choice,
                      std::vector<JsonConstraints>* out);
  absl::StatusOr<const JsonValue*> Target(const JsonValue& ref);
  absl::Status CheckExclusive(const JsonValue& one_of);
  absl::Status CountComparison();
  absl::StatusOr<bool> Exclude(const JsonConstraints& x,
                               const JsonConstraints& y, int depth);

  const JsonValue& document_;
  const GrammarLimits limits_;
  std::vector<const JsonValue*> open_;  // being added, from the outside in
  int depth_ = 0;                       // of open choices
  int exclusive_depth_ = 0;             // of oneOf being checked
  int64_t expansions_ = 0;              // of choices, dead ends included
  int64_t comparisons_ = 0;             // of oneOf branches
  absl::flat_hash_map<const JsonValue*, const JsonValue*> targets_;  // of $ref
  std::vector<const JsonValue*> checked_;  // oneOf already found exclusive
};

// Whether `schema` has a keyword that constrains (annotations do not).
bool IsPlainTrue(const JsonValue& schema);

// Whether `value` satisfies everything but patterns, formats and shapes.
bool SatisfiesCounts(const JsonValue& value,
                     const JsonConstraints& constraints);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_CONSTRAINTS_H_
