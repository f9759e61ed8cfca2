// A JSON value as a Jinja template sees it: it may be undefined, every value is
// true or false, and every value has a text.
#ifndef FACET_RUNTIME_CHAT_TEMPLATE_VALUE_H_
#define FACET_RUNTIME_CHAT_TEMPLATE_VALUE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace facet {

// Where a value stands, for messages: "messages[2].tool_calls[0].function".
// Lives on the stack beside the value; `parent` outlives it.
class FieldPath {
 public:
  explicit FieldPath(absl::string_view name) : name_(name) {}
  FieldPath(const FieldPath* parent, absl::string_view name)
      : parent_(parent), name_(name) {}
  FieldPath(const FieldPath* parent, int64_t index)
      : parent_(parent), index_(index) {}

  std::string ToString() const;

 private:
  const FieldPath* parent_ = nullptr;
  absl::string_view name_;
  int64_t index_ = -1;
};

// A view; the JSON outlives it.
class TemplateValue {
 public:
  using Json = nlohmann::ordered_json;

  TemplateValue() = default;  // undefined
  explicit TemplateValue(const Json* json) : json_(json) {}

  bool is_defined() const { return json_ != nullptr; }
  bool is_string() const { return is_defined() && json_->is_string(); }
  bool is_bool() const { return is_defined() && json_->is_boolean(); }
  bool is_mapping() const { return is_defined() && json_->is_object(); }
  bool is_list() const { return is_defined() && json_->is_array(); }
  bool is_none() const { return is_defined() && json_->is_null(); }
  // false, None, 0, what is empty and what is undefined are not.
  bool is_true() const;

  // REQUIRES: is_string().
  absl::string_view string() const;
  bool Is(absl::string_view text) const {
    return is_string() && string() == text;
  }

  // self[name]: undefined unless this is a mapping that has it.
  TemplateValue Get(const char* name) const;

  // str(self); empty when undefined.
  std::string Text() const;

  // For name, value in self | dictsort: by name, letter case ignored.
  // REQUIRES: is_mapping().
  std::vector<std::pair<absl::string_view, TemplateValue>> Sorted() const;

  // self == other, where False is 0 and True is 1.
  bool Equals(TemplateValue other) const;

  // What to call it in a message: "a string", "null", "nothing", ...
  const char* Kind() const;

  const Json* json() const { return json_; }

 private:
  const Json* json_ = nullptr;
};

// INVALID_ARGUMENT "`path`: expected `expected`, found ...".
absl::Status Unexpected(const FieldPath& path, absl::string_view expected,
                        TemplateValue found);

// The text of a value that the template joins to a string with "+", which only
// takes strings.
absl::StatusOr<absl::string_view> RequireString(TemplateValue value,
                                                const FieldPath& path);

// What iterating over a value that is no list gives: the names of a mapping,
// the characters of a string, nothing of what is undefined.
absl::StatusOr<std::vector<TemplateValue::Json>> MakeItems(
    TemplateValue value, const FieldPath& path);

// For item in value: calls visit(item, path of the item), which returns a
// Status. INVALID_ARGUMENT for a value that cannot be iterated over.
template <typename Visit>
absl::Status ForEach(TemplateValue value, const FieldPath& path, Visit visit) {
  std::vector<TemplateValue::Json> made;
  if (!value.is_list()) {
    FACET_ASSIGN_OR_RETURN(made, MakeItems(value, path));
  }
  const size_t count = value.is_list() ? value.json()->size() : made.size();
  for (size_t i = 0; i < count; ++i) {
    const FieldPath item_path(&path, static_cast<int64_t>(i));
    const TemplateValue item(value.is_list() ? &(*value.json())[i] : &made[i]);
    FACET_RETURN_IF_ERROR(visit(item, item_path));
  }
  return absl::OkStatus();
}

// Whether `json` has lists or objects nested deeper than `levels`.
bool NestsDeeperThan(const TemplateValue::Json& json, int levels);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_TEMPLATE_VALUE_H_
