#include "runtime/grammar/json_constraints.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/json_formats.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr int64_t kMaxComparisons = 50'000;  // of oneOf branches
constexpr int64_t kMaxExpansions = 100'000;  // of anyOf and oneOf
constexpr int kMaxComparisonDepth = 4;

absl::Status Error(const JsonValue& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(PointerTo(where), ": ", what));
}

bool IsOneOf(absl::string_view name,
             std::initializer_list<absl::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Keywords that describe and do not constrain.
bool IsAnnotation(absl::string_view keyword) {
  return IsOneOf(keyword,
                 {"title", "description", "default", "example", "examples",
                  "deprecated", "readOnly", "writeOnly", "$schema", "$id", "id",
                  "$comment", "$defs", "definitions", "$anchor", "$vocabulary",
                  "contentMediaType", "contentEncoding", "discriminator"}) ||
         absl::StartsWith(keyword, "x-");
}

absl::Status Expect(const JsonValue& keyword, JsonKind kind,
                    absl::string_view what) {
  if (keyword.is(kind)) return absl::OkStatus();
  return Error(keyword, absl::StrCat("expected ", what));
}

// A count of at least 0; none above `limit`.
absl::StatusOr<std::optional<int64_t>> ReadCount(const JsonValue& keyword,
                                                 int64_t limit) {
  const std::optional<Decimal> value = ParseDecimal(keyword.text);
  if (!keyword.is(JsonKind::kNumber) || !value.has_value() || value->negative ||
      !value->is_integer()) {
    return Error(keyword, "expected an integer of at least 0");
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(value->integer, &count) || count > limit) {
    return std::optional<int64_t>();
  }
  return std::optional<int64_t>(count);
}

absl::StatusOr<int> ReadType(const JsonValue& name) {
  if (name.is(JsonKind::kString)) {
    if (name.text == "null") return kNullType;
    if (name.text == "boolean") return kBooleanType;
    if (name.text == "integer") return kIntegerType;
    if (name.text == "number") return kIntegerType | kFractionType;
    if (name.text == "string") return kStringType;
    if (name.text == "array") return kArrayType;
    if (name.text == "object") return kObjectType;
  }
  return Error(name,
               "expected null, boolean, integer, number, string, array or "
               "object");
}

absl::StatusOr<Bound> ReadBound(const JsonValue& keyword, bool exclusive) {
  std::optional<Decimal> value;
  if (keyword.is(JsonKind::kNumber)) value = ParseDecimal(keyword.text);
  if (!value.has_value()) return Error(keyword, "expected a number");
  return Bound{*std::move(value), exclusive};
}

absl::Status ExpectSchemas(const JsonValue& keyword) {
  if (keyword.is(JsonKind::kArray) && !keyword.items.empty()) {
    return absl::OkStatus();
  }
  return Error(keyword, "expected an array of schemas");
}

// The values that both lists have.
std::vector<const JsonValue*> InBoth(const std::vector<const JsonValue*>& x,
                                     const std::vector<const JsonValue*>& y) {
  absl::flat_hash_set<std::string> texts;
  for (const JsonValue* value : y) texts.insert(CompactText(*value));
  std::vector<const JsonValue*> both;
  for (const JsonValue* value : x) {
    if (texts.contains(CompactText(*value))) both.push_back(value);
  }
  return both;
}

void AddValues(std::vector<const JsonValue*> values, JsonConstraints* out) {
  if (out->values.has_value()) values = InBoth(*out->values, values);
  out->values = std::move(values);
}

std::string PercentDecoded(absl::string_view text) {
  const auto digit = [](char c) {
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
  };
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2])) {
      decoded +=
          static_cast<char>(digit(text[i + 1]) << 4 | digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

bool Within(int64_t count, const CountRange& range) {
  return count >= range.min && (!range.max.has_value() || count <= *range.max);
}

bool Apart(const CountRange& x, const CountRange& y) {
  return (x.max.has_value() && *x.max < y.min) ||
         (y.max.has_value() && *y.max < x.min);
}

}  // namespace

int TypeOf(const JsonValue& value) {
  switch (value.kind) {
    case JsonKind::kNull:
      return kNullType;
    case JsonKind::kBoolean:
      return kBooleanType;
    case JsonKind::kString:
      return kStringType;
    case JsonKind::kArray:
      return kArrayType;
    case JsonKind::kObject:
      return kObjectType;
    case JsonKind::kNumber:
      break;
  }
  const std::optional<Decimal> number = ParseDecimal(value.text);
  return number.has_value() && number->is_integer() ? kIntegerType
                                                    : kFractionType;
}

bool IsPlainTrue(const JsonValue& schema) {
  if (schema.is(JsonKind::kBoolean)) return schema.boolean;
  if (!schema.is(JsonKind::kObject)) return false;
  for (const JsonValue& keyword : schema.items) {
    if (!IsAnnotation(keyword.name)) return false;
  }
  return true;
}

bool SatisfiesCounts(const JsonValue& value,
                     const JsonConstraints& constraints) {
  if ((TypeOf(value) & constraints.types) == 0) return false;
  switch (value.kind) {
    case JsonKind::kNumber: {
      const std::optional<Decimal> number = ParseDecimal(value.text);
      return number.has_value() && constraints.number.Contains(*number);
    }
    case JsonKind::kString: {
      int64_t length = 0;
      absl::string_view rest = value.text;
      for (; !rest.empty(); ++length) {
        rest.remove_prefix(std::max(FirstCodePoint(rest).bytes, 1));
      }
      return Within(length, constraints.length);
    }
    case JsonKind::kArray:
      return Within(value.items.size(), constraints.items);
    case JsonKind::kObject:
      for (const JsonValue* required : constraints.required) {
        for (const JsonValue& name : required->items) {
          if (value.Find(name.text) == nullptr) return false;
        }
      }
      return Within(value.items.size(), constraints.members);
    default:
      return true;
  }
}

absl::StatusOr<const JsonValue*> ConstraintReader::Target(
    const JsonValue& ref) {
  const auto known = targets_.find(&ref);
  if (known != targets_.end()) return known->second;
  if (!ref.is(JsonKind::kString) || ref.text.empty() || ref.text[0] != '#') {
    return Error(ref,
                 "only references inside the schema are supported, such as "
                 "\"#/$defs/name\"");
  }
  const JsonValue* target = FindPointer(
      document_, PercentDecoded(absl::string_view(ref.text).substr(1)));
  if (target == nullptr) {
    return Error(ref, absl::StrCat("nothing at ", ref.text.substr(0, 100)));
  }
  targets_[&ref] = target;
  return target;
}

absl::StatusOr<const JsonValue*> ConstraintReader::Resolve(
    const JsonValue* schema) {
  for (int steps = 0; steps <= limits_.max_nesting; ++steps) {
    const JsonValue* ref = schema->Find("$ref");
    if (ref == nullptr) return schema;
    for (const JsonValue& keyword : schema->items) {
      if (&keyword != ref && !IsAnnotation(keyword.name)) return schema;
    }
    FACET_ASSIGN_OR_RETURN(schema, Target(*ref));
  }
  return Error(*schema, "a chain of references that does not end");
}

absl::StatusOr<std::optional<SchemaList>> ConstraintReader::PureChoice(
    const JsonValue& schema) {
  const JsonValue* choice = nullptr;
  if (schema.is(JsonKind::kObject)) {
    for (const JsonValue& keyword : schema.items) {
      if (IsAnnotation(keyword.name)) continue;
      const bool is_choice = keyword.name == "anyOf" || keyword.name == "oneOf";
      if (!is_choice || choice != nullptr) return std::optional<SchemaList>();
      choice = &keyword;
    }
  }
  if (choice == nullptr) return std::optional<SchemaList>();
  FACET_RETURN_IF_ERROR(ExpectSchemas(*choice));
  if (choice->name == "oneOf") FACET_RETURN_IF_ERROR(CheckExclusive(*choice));
  SchemaList branches;
  for (const JsonValue& branch : choice->items) branches.push_back(&branch);
  return std::optional<SchemaList>(std::move(branches));
}

absl::StatusOr<std::vector<JsonConstraints>> ConstraintReader::Read(
    const SchemaList& schemas) {
  JsonConstraints constraints;
  for (const JsonValue* schema : schemas) {
    FACET_RETURN_IF_ERROR(Add(*schema, &constraints));
  }
  std::vector<JsonConstraints> alternatives;
  FACET_RETURN_IF_ERROR(Expand(std::move(constraints), 0, &alternatives));
  return alternatives;
}

absl::Status ConstraintReader::Expand(JsonConstraints constraints,
                                      size_t next_choice,
                                      std::vector<JsonConstraints>* out) {
  if (constraints.never || constraints.types == 0) return absl::OkStatus();
  if (++expansions_ > kMaxExpansions) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "more than ", kMaxExpansions, " combinations of anyOf and oneOf"));
  }
  if (next_choice == constraints.choices.size()) {
    if (static_cast<int>(out->size()) >= limits_.max_alternatives) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "more than max_alternatives = ", limits_.max_alternatives,
          " combinations of anyOf"));
    }
    out->push_back(std::move(constraints));
    return absl::OkStatus();
  }
  if (depth_ > limits_.max_nesting) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "anyOf nested deeper than max_nesting = ", limits_.max_nesting));
  }
  const JsonValue& choice = *constraints.choices[next_choice];
  if (choice.name == "oneOf") FACET_RETURN_IF_ERROR(CheckExclusive(choice));
  for (const JsonValue& branch : choice.items) {
    JsonConstraints chosen = constraints;
    ++depth_;
    FACET_RETURN_IF_ERROR(Add(branch, &chosen));
    FACET_RETURN_IF_ERROR(Expand(std::move(chosen), next_choice + 1, out));
    --depth_;
  }
  return absl::OkStatus();
}

absl::Status ConstraintReader::Add(const JsonValue& schema,
                                   JsonConstraints* out) {
  if (schema.is(JsonKind::kBoolean)) {
    out->never |= !schema.boolean;
    return absl::OkStatus();
  }
  FACET_RETURN_IF_ERROR(
      Expect(schema, JsonKind::kObject, "a schema (an object or a boolean)"));
  const auto in = [&schema](const SchemaList& list) {
    return std::find(list.begin(), list.end(), &schema) != list.end();
  };
  if (in(open_)) return Error(schema, "refers to itself without end");
  if (in(out->seen)) {
    // Known already; but a choice below itself would never be made.
    const bool chooses = schema.Find("anyOf") || schema.Find("oneOf");
    return depth_ > 0 && chooses
               ? Error(schema, "refers to itself through anyOf or oneOf")
               : absl::OkStatus();
  }
  if (static_cast<int>(open_.size()) >= limits_.max_nesting ||
      static_cast<int>(out->seen.size()) >= limits_.max_alternatives) {
    return absl::ResourceExhaustedError(absl::StrCat(
        PointerTo(schema),
        ": too many schemas hold at once (max_nesting = ", limits_.max_nesting,
        ", max_alternatives = ", limits_.max_alternatives, ")"));
  }
  out->seen.push_back(&schema);
  open_.push_back(&schema);
  ObjectShape object;
  ArrayShape array;
  for (const JsonValue& keyword : schema.items) {
    if (IsAnnotation(keyword.name)) continue;
    FACET_RETURN_IF_ERROR(AddKeyword(keyword, out, &object, &array));
  }
  const JsonValue* nullable = schema.Find("nullable");
  if (nullable != nullptr && nullable->boolean && !schema.Find("type")) {
    return Error(*nullable, "expected beside `type`");
  }
  if (object.properties || object.additional || object.pattern ||
      object.names) {
    out->objects.push_back(object);
  }
  if (array.prefix || array.items) out->arrays.push_back(array);
  open_.pop_back();
  return absl::OkStatus();
}

absl::Status ConstraintReader::AddKeyword(const JsonValue& keyword,
                                          JsonConstraints* out,
                                          ObjectShape* object,
                                          ArrayShape* array) {
  const std::string& name = keyword.name;
  if (name == "$ref") {
    FACET_ASSIGN_OR_RETURN(const JsonValue* target, Target(keyword));
    return Add(*target, out);
  }
  if (name == "allOf") {
    FACET_RETURN_IF_ERROR(ExpectSchemas(keyword));
    for (const JsonValue& schema : keyword.items) {
      FACET_RETURN_IF_ERROR(Add(schema, out));
    }
    return absl::OkStatus();
  }
  if (name == "anyOf" || name == "oneOf") {
    out->choices.push_back(&keyword);
    return ExpectSchemas(keyword);
  }
  if (name == "type") {
    int types = 0;
    if (keyword.is(JsonKind::kArray)) {
      for (const JsonValue& item : keyword.items) {
        FACET_ASSIGN_OR_RETURN(const int type, ReadType(item));
        types |= type;
      }
    } else {
      FACET_ASSIGN_OR_RETURN(types, ReadType(keyword));
    }
    const JsonValue* nullable = keyword.parent->Find("nullable");
    if (nullable != nullptr && nullable->boolean) types |= kNullType;
    out->types &= types;
    return absl::OkStatus();
  }
  if (name == "nullable") {
    return Expect(keyword, JsonKind::kBoolean, "a boolean");
  }
  if (name == "enum") {
    FACET_RETURN_IF_ERROR(Expect(keyword, JsonKind::kArray, "an array"));
    std::vector<const JsonValue*> values;
    for (const JsonValue& item : keyword.items) values.push_back(&item);
    AddValues(std::move(values), out);
    return absl::OkStatus();
  }
  if (name == "const") {
    AddValues({&keyword}, out);
    return absl::OkStatus();
  }
  if (name == "minimum" || name == "exclusiveMinimum") {
    FACET_ASSIGN_OR_RETURN(const Bound bound,
                           ReadBound(keyword, name != "minimum"));
    out->number.RaiseLow(bound);
    return absl::OkStatus();
  }
  if (name == "maximum" || name == "exclusiveMaximum") {
    FACET_ASSIGN_OR_RETURN(const Bound bound,
                           ReadBound(keyword, name != "maximum"));
    out->number.LowerHigh(bound);
    return absl::OkStatus();
  }
  if (name == "multipleOf") {
    const std::optional<Decimal> step = ParseDecimal(keyword.text);
    if (!keyword.is(JsonKind::kNumber) || !step.has_value() ||
        step->integer != "1" || !step->is_integer()) {
      return Error(keyword, "multipleOf is supported for 1 only");
    }
    out->types &= ~kFractionType;
    return absl::OkStatus();
  }
  CountRange* const counted = absl::EndsWith(name, "Length")  ? &out->length
                              : absl::EndsWith(name, "Items") ? &out->items
                                                              : &out->members;
  if (IsOneOf(name, {"minLength", "minItems", "minProperties"})) {
    FACET_ASSIGN_OR_RETURN(const std::optional<int64_t> count,
                           ReadCount(keyword, limits_.max_repetition));
    if (!count.has_value()) {
      return absl::ResourceExhaustedError(
          absl::StrCat(PointerTo(keyword),
                       ": above max_repetition = ", limits_.max_repetition));
    }
    counted->min = std::max(counted->min, *count);
    return absl::OkStatus();
  }
  if (IsOneOf(name, {"maxLength", "maxItems", "maxProperties"})) {
    FACET_ASSIGN_OR_RETURN(const std::optional<int64_t> count,
                           ReadCount(keyword, limits_.max_repetition));
    // A larger count is as good as the largest: what is shorter satisfies it.
    const int64_t max = count.value_or(limits_.max_repetition);
    counted->max = std::min(counted->max.value_or(max), max);
    return absl::OkStatus();
  }
  if (name == "uniqueItems") {
    if (keyword.is(JsonKind::kBoolean) && !keyword.boolean) {
      return absl::OkStatus();
    }
    return Error(keyword, "uniqueItems is not supported");
  }
  if (name == "pattern") {
    out->patterns.push_back(&keyword);
    return Expect(keyword, JsonKind::kString, "a regular expression");
  }
  if (name == "format") {
    FACET_RETURN_IF_ERROR(Expect(keyword, JsonKind::kString, "a string"));
    if (IsAnnotationFormat(keyword.text)) return absl::OkStatus();
    if (keyword.text == "int32") {
      out->number.RaiseLow({*ParseDecimal("-2147483648")});
      out->number.LowerHigh({*ParseDecimal("2147483647")});
      return absl::OkStatus();
    }
    if (!PatternOfFormat(keyword.text).has_value()) {
      return Error(keyword,
                   absl::StrCat("format \"", keyword.text.substr(0, 100),
                                "\" is not one of ", KnownFormats()));
    }
    out->formats.push_back(&keyword);
    return absl::OkStatus();
  }
  if (name == "required") {
    FACET_RETURN_IF_ERROR(Expect(keyword, JsonKind::kArray, "an array"));
    for (const JsonValue& item : keyword.items) {
      FACET_RETURN_IF_ERROR(Expect(item, JsonKind::kString, "a name"));
    }
    out->required.push_back(&keyword);
    return absl::OkStatus();
  }
  if (name == "properties" || name == "patternProperties") {
    (name == "properties" ? object->properties : object->pattern) = &keyword;
    return Expect(keyword, JsonKind::kObject, "an object of schemas");
  }
  if (name == "additionalProperties") {
    object->additional = &keyword;
    return absl::OkStatus();
  }
  if (name == "propertyNames") {
    object->names = &keyword;
    return absl::OkStatus();
  }
  if (name == "prefixItems" ||
      (name == "items" && keyword.is(JsonKind::kArray))) {
    array->prefix = &keyword;
    return Expect(keyword, JsonKind::kArray, "an array of schemas");
  }
  if (name == "items" || name == "additionalItems") {
    // Older drafts ignore additionalItems unless `items` is an array.
    const JsonValue* items = keyword.parent->Find("items");
    if (name == "additionalItems" &&
        (items == nullptr || !items->is(JsonKind::kArray))) {
      return Error(keyword, "expected beside an array of `items`");
    }
    array->items = &keyword;
    return absl::OkStatus();
  }
  return Error(keyword, "this keyword is not supported");
}

absl::Status ConstraintReader::CheckExclusive(const JsonValue& one_of) {
  if (std::find(checked_.begin(), checked_.end(), &one_of) != checked_.end()) {
    return absl::OkStatus();
  }
  checked_.push_back(&one_of);
  if (++exclusive_depth_ > limits_.max_nesting) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "oneOf nested deeper than max_nesting = ", limits_.max_nesting));
  }
  // The branches are looked at by themselves, not as parts of what is open.
  std::vector<const JsonValue*> outer;
  outer.swap(open_);
  const int depth = std::exchange(depth_, 0);
  std::vector<std::vector<JsonConstraints>> branches;
  for (const JsonValue& branch : one_of.items) {
    FACET_ASSIGN_OR_RETURN(std::vector<JsonConstraints> alternatives,
                           Read({&branch}));
    branches.push_back(std::move(alternatives));
  }
  for (size_t i = 0; i < branches.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      for (const JsonConstraints& x : branches[i]) {
        for (const JsonConstraints& y : branches[j]) {
          FACET_ASSIGN_OR_RETURN(const bool apart, Exclude(x, y, 0));
          if (apart) continue;
          return Error(
              one_of,
              absl::StrCat("branches ", j, " and ", i,
                           " may both hold for one value; use anyOf, or tell "
                           "them apart by a required property with different "
                           "const values"));
        }
      }
    }
  }
  open_.swap(outer);
  depth_ = depth;
  --exclusive_depth_;
  return absl::OkStatus();
}

absl::Status ConstraintReader::CountComparison() {
  if (++comparisons_ <= kMaxComparisons) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "oneOf: more than ", kMaxComparisons, " comparisons of branches"));
}

absl::StatusOr<bool> ConstraintReader::Exclude(const JsonConstraints& x,
                                               const JsonConstraints& y,
                                               int depth) {
  if (++comparisons_ > kMaxComparisons) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "oneOf: more than ", kMaxComparisons, " comparisons of branches"));
  }
  if (x.values.has_value() && y.values.has_value()) {
    return InBoth(*x.values, *y.values).empty();
  }
  if (y.values.has_value()) return Exclude(y, x, depth);
  if (x.values.has_value()) {
    return std::none_of(
        x.values->begin(), x.values->end(),
        [&y](const JsonValue* value) { return SatisfiesCounts(*value, y); });
  }
  const int types = x.types & y.types;
  const int numeric = kIntegerType | kFractionType;
  if ((types & (kNullType | kBooleanType)) != 0) return false;
  if ((types & numeric) != 0 && !Disjoint(x.number, y.number)) return false;
  if ((types & kStringType) != 0 && !Apart(x.length, y.length)) return false;
  if ((types & kArrayType) != 0 && !Apart(x.items, y.items)) return false;
  if ((types & kObjectType) == 0) return true;
  if (Apart(x.members, y.members)) return true;
  if (depth >= kMaxComparisonDepth) return false;
  // A property that one side requires and that cannot be right for both.
  for (const auto& [side, other] : {std::pair(&x, &y), std::pair(&y, &x)}) {
    for (const JsonValue* required : side->required) {
      for (const JsonValue& name : required->items) {
        FACET_RETURN_IF_ERROR(CountComparison());
        SchemaList here, there;
        bool forbidden = false;
        for (const ObjectShape& shape : side->objects) {
          const JsonValue* schema =
              shape.properties ? shape.properties->Find(name.text) : nullptr;
          if (schema != nullptr) here.push_back(schema);
        }
        for (const ObjectShape& shape : other->objects) {
          const JsonValue* schema =
              shape.properties ? shape.properties->Find(name.text) : nullptr;
          if (schema != nullptr) {
            there.push_back(schema);
          } else if (shape.additional != nullptr && shape.pattern == nullptr &&
                     shape.additional->is(JsonKind::kBoolean) &&
                     !shape.additional->boolean) {
            forbidden = true;
          }
        }
        if (forbidden) return true;
        if (here.empty() || there.empty()) continue;
        FACET_ASSIGN_OR_RETURN(const std::vector<JsonConstraints> left,
                               Read(here));
        FACET_ASSIGN_OR_RETURN(const std::vector<JsonConstraints> right,
                               Read(there));
        bool apart = true;
        for (const JsonConstraints& l : left) {
          for (const JsonConstraints& r : right) {
            FACET_ASSIGN_OR_RETURN(const bool exclude,
                                   Exclude(l, r, depth + 1));
            apart = apart && exclude;
          }
        }
        if (apart) return true;
      }
    }
  }
  return false;
}

}  // namespace facet
