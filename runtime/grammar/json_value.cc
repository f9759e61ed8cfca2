#include "runtime/grammar/json_value.h"

#include <cstdint>
#include <exception>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

// Builds the tree from the events of nlohmann's parser. Every function returns
// whether parsing goes on.
class TreeBuilder {
 public:
  TreeBuilder(const GrammarLimits& limits, JsonValue* root)
      : max_depth_(limits.max_nesting), root_(root) {}

  bool null() { return Add(JsonKind::kNull); }
  bool boolean(bool value) {
    Add(JsonKind::kBoolean);
    last_->boolean = value;
    return true;
  }
  bool number_integer(int64_t value) { return Number(absl::StrCat(value)); }
  bool number_unsigned(uint64_t value) { return Number(absl::StrCat(value)); }
  bool number_float(double, const std::string& text) { return Number(text); }
  bool string(std::string& value) {
    Add(JsonKind::kString);
    last_->text = std::move(value);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) { return Open(JsonKind::kObject); }
  bool start_array(size_t) { return Open(JsonKind::kArray); }
  bool key(std::string& name) {
    name_ = std::move(name);
    return true;
  }
  bool end_object() {
    absl::flat_hash_set<absl::string_view> names;
    for (const JsonValue& member : open_.back()->items) {
      if (!names.insert(member.name).second) {
        status_ = absl::InvalidArgumentError(
            absl::StrCat("two members named \"", member.name, "\""));
        return false;
      }
    }
    return end_array();
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool parse_error(size_t at, const std::string&,
                   const nlohmann::json::exception&) {
    status_ = absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", at));
    return false;
  }

  absl::Status status() const { return status_; }

 private:
  // A value's place does not move while it is open: only the innermost open
  // array or object grows.
  bool Add(JsonKind kind) {
    last_ = open_.empty() ? root_ : &open_.back()->items.emplace_back();
    last_->kind = kind;
    last_->name = std::move(name_);
    name_.clear();
    return true;
  }
  bool Number(std::string text) {
    Add(JsonKind::kNumber);
    last_->text = std::move(text);
    return true;
  }
  bool Open(JsonKind kind) {
    if (static_cast<int>(open_.size()) >= max_depth_) {
      status_ = absl::ResourceExhaustedError(
          absl::StrCat("JSON nested deeper than max_nesting = ", max_depth_));
      return false;
    }
    Add(kind);
    open_.push_back(last_);
    return true;
  }

  const int max_depth_;
  JsonValue* const root_;
  JsonValue* last_ = nullptr;
  std::vector<JsonValue*> open_;
  std::string name_;
  absl::Status status_ = absl::InvalidArgumentError("not JSON");
};

void SetParents(JsonValue* value) {
  for (JsonValue& item : value->items) {
    item.parent = value;
    SetParents(&item);
  }
}

}  // namespace

const JsonValue* JsonValue::Find(absl::string_view wanted) const {
  if (kind != JsonKind::kObject) return nullptr;
  for (const JsonValue& member : items) {
    if (member.name == wanted) return &member;
  }
  return nullptr;
}

std::string PointerTo(const JsonValue& value) {
  std::vector<const JsonValue*> path;
  for (const JsonValue* at = &value; at->parent != nullptr; at = at->parent) {
    path.push_back(at);
  }
  std::string pointer = "#";
  for (; !path.empty(); path.pop_back()) {
    const JsonValue& at = *path.back();
    if (at.parent->is(JsonKind::kArray)) {
      absl::StrAppend(&pointer, "/", &at - at.parent->items.data());
    } else {
      absl::StrAppend(&pointer, "/",
                      absl::StrReplaceAll(at.name.substr(0, 100),
                                          {{"~", "~0"}, {"/", "~1"}}));
    }
  }
  return pointer;
}

const JsonValue* FindPointer(const JsonValue& document,
                             absl::string_view pointer) {
  const JsonValue* at = &document;
  while (!pointer.empty() && at != nullptr) {
    if (pointer[0] != '/') return nullptr;
    pointer.remove_prefix(1);
    const absl::string_view step = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(step.size());
    if (at->is(JsonKind::kArray)) {
      uint32_t index = 0;
      if (!absl::SimpleAtoi(step, &index) || index >= at->items.size()) {
        return nullptr;
      }
      at = &at->items[index];
    } else {
      at = at->Find(absl::StrReplaceAll(step, {{"~1", "/"}, {"~0", "~"}}));
    }
  }
  return at;
}

std::string CompactText(const JsonValue& value) {
  switch (value.kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBoolean:
      return value.boolean ? "true" : "false";
    case JsonKind::kNumber:
      return value.text;
    case JsonKind::kString:
      return JsonQuoted(value.text);
    case JsonKind::kArray:
    case JsonKind::kObject:
      break;
  }
  const bool array = value.is(JsonKind::kArray);
  std::string text = array ? "[" : "{";
  for (const JsonValue& item : value.items) {
    if (text.size() > 1) text += ",";
    if (!array) absl::StrAppend(&text, JsonQuoted(item.name), ":");
    text += CompactText(item);
  }
  text += array ? "]" : "}";
  return text;
}

std::string JsonQuoted(absl::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\r') {
      quoted += "\\r";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (byte < 0x20) {
      quoted += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      quoted += c;
    }
  }
  quoted += '"';
  return quoted;
}

absl::StatusOr<std::unique_ptr<const JsonValue>> ParseJsonValue(
    absl::string_view text, const GrammarLimits& limits) {
  auto root = std::make_unique<JsonValue>();
  TreeBuilder builder(limits, root.get());
  try {
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
      return builder.status();
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  SetParents(root.get());
  return root;
}

}  // namespace facet
