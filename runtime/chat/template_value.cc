#include "runtime/chat/template_value.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/chat/python_text.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

using Json = TemplateValue::Json;

// repr(json), appended to `text`.
void AppendRepr(const Json& json, std::string* text) {
  switch (json.type()) {
    case Json::value_t::null:
      *text += "None";
      return;
    case Json::value_t::boolean:
      *text += json.get_ref<const bool&>() ? "True" : "False";
      return;
    case Json::value_t::number_integer:
      absl::StrAppend(text, *json.get_ptr<const int64_t*>());
      return;
    case Json::value_t::number_unsigned:
      absl::StrAppend(text, *json.get_ptr<const uint64_t*>());
      return;
    case Json::value_t::number_float:
      *text += PythonFloat(*json.get_ptr<const double*>());
      return;
    case Json::value_t::string:
      *text += PythonQuoted(*json.get_ptr<const std::string*>());
      return;
    case Json::value_t::array: {
      const char* separator = "[";
      for (const Json& item : json) {
        *text += separator;
        AppendRepr(item, text);
        separator = ", ";
      }
      *text += json.empty() ? "[]" : "]";
      return;
    }
    case Json::value_t::object: {
      const char* separator = "{";
      for (const auto& [name, value] : json.items()) {
        absl::StrAppend(text, separator, PythonQuoted(name), ": ");
        AppendRepr(value, text);
        separator = ", ";
      }
      *text += json.empty() ? "{}" : "}";
      return;
    }
    case Json::value_t::binary:
    case Json::value_t::discarded:
      return;  // not JSON
  }
}

Json AsNumber(const Json& json) {
  return json.is_boolean() ? Json(json.get_ref<const bool&>() ? 1 : 0) : json;
}

}  // namespace

std::string FieldPath::ToString() const {
  const std::string prefix = parent_ == nullptr ? "" : parent_->ToString();
  if (index_ >= 0) return absl::StrCat(prefix, "[", index_, "]");
  return absl::StrCat(prefix, prefix.empty() ? "" : ".", name_);
}

bool TemplateValue::is_true() const {
  if (!is_defined()) return false;
  switch (json_->type()) {
    case Json::value_t::boolean:
      return json_->get_ref<const bool&>();
    case Json::value_t::number_integer:
      return *json_->get_ptr<const int64_t*>() != 0;
    case Json::value_t::number_unsigned:
      return *json_->get_ptr<const uint64_t*>() != 0;
    case Json::value_t::number_float:
      return *json_->get_ptr<const double*>() != 0;
    case Json::value_t::string:
      return !string().empty();
    default:
      return !json_->empty();
  }
}

absl::string_view TemplateValue::string() const {
  return *json_->get_ptr<const std::string*>();
}

TemplateValue TemplateValue::Get(const char* name) const {
  if (!is_mapping()) return TemplateValue();
  const auto found = json_->find(name);
  return found == json_->end() ? TemplateValue() : TemplateValue(&*found);
}

std::string TemplateValue::Text() const {
  if (!is_defined()) return "";
  if (is_string()) return std::string(string());
  std::string text;
  AppendRepr(*json_, &text);
  return text;
}

std::vector<std::pair<absl::string_view, TemplateValue>> TemplateValue::Sorted()
    const {
  struct Entry {
    std::string lower;
    absl::string_view name;
    TemplateValue value;
  };
  std::vector<Entry> entries;
  for (const auto& item : json_->get_ref<const Json::object_t&>()) {
    entries.push_back(
        {PythonLower(item.first), item.first, TemplateValue(&item.second)});
  }
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const Entry& a, const Entry& b) { return a.lower < b.lower; });
  std::vector<std::pair<absl::string_view, TemplateValue>> sorted;
  for (const Entry& entry : entries) {
    sorted.emplace_back(entry.name, entry.value);
  }
  return sorted;
}

bool TemplateValue::Equals(TemplateValue other) const {
  if (!is_defined() || !other.is_defined()) {
    return is_defined() == other.is_defined();
  }
  return AsNumber(*json_) == AsNumber(*other.json_);
}

const char* TemplateValue::Kind() const {
  if (!is_defined()) return "nothing";
  switch (json_->type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

absl::Status Unexpected(const FieldPath& path, absl::string_view expected,
                        TemplateValue found) {
  return absl::InvalidArgumentError(absl::StrCat(
      path.ToString(), ": expected ", expected, ", found ", found.Kind()));
}

absl::StatusOr<absl::string_view> RequireString(TemplateValue value,
                                                const FieldPath& path) {
  if (!value.is_string()) return Unexpected(path, "a string", value);
  return value.string();
}

absl::StatusOr<std::vector<Json>> MakeItems(TemplateValue value,
                                            const FieldPath& path) {
  std::vector<Json> items;
  if (value.is_mapping()) {
    for (const auto& item : value.json()->get_ref<const Json::object_t&>()) {
      items.push_back(item.first);
    }
  } else if (value.is_string()) {
    absl::string_view text = value.string();
    while (!text.empty()) {
      const size_t bytes = std::max(FirstCodePoint(text).bytes, 1);
      items.push_back(std::string(text.substr(0, bytes)));
      text.remove_prefix(bytes);
    }
  } else if (value.is_defined()) {
    return Unexpected(path, "a list", value);
  }
  return items;
}

bool NestsDeeperThan(const Json& json, int levels) {
  if (!json.is_structured()) return false;
  if (levels == 0) return true;
  for (const Json& item : json) {
    if (NestsDeeperThan(item, levels - 1)) return true;
  }
  return false;
}

}  // namespace facet
