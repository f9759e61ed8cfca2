#include "rpc/openai/request_reader.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace facet {
namespace {

std::vector<std::string> Words(absl::string_view names) {
  return absl::StrSplit(names, ' ', absl::SkipEmpty());
}

// The value of a whole number that fits; nothing otherwise.
std::optional<int64_t> WholeNumber(const ApiJson& json) {
  if (json.is_number_unsigned()) {
    const uint64_t value = json.get<uint64_t>();
    if (value > uint64_t{std::numeric_limits<int64_t>::max()}) return {};
    return static_cast<int64_t>(value);
  }
  if (json.is_number_integer()) return json.get<int64_t>();
  if (!json.is_number_float()) return {};
  const double value = json.get<double>();
  if (value != std::floor(value) || std::abs(value) > 9e15) return {};
  return static_cast<int64_t>(value);
}

}  // namespace

const char* KindOf(const ApiJson& json) {
  if (json.is_null()) return "null";
  if (json.is_boolean()) return "a boolean";
  if (json.is_number_float()) return "a number";
  if (json.is_number()) return "an integer";
  if (json.is_string()) return "a string";
  if (json.is_array()) return "a list";
  return "an object";
}

std::string RequestReader::PathOf(absl::string_view name) const {
  return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
}

void RequestReader::Fail(absl::string_view name, absl::string_view what) {
  Fail(absl::InvalidArgumentError(absl::StrCat(PathOf(name), ": ", what)));
}

void RequestReader::Fail(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

void RequestReader::Mismatch(absl::string_view name, absl::string_view expected,
                             const ApiJson& found) {
  Fail(name, absl::StrCat("expected ", expected, ", found ", KindOf(found)));
}

const ApiJson* RequestReader::Find(const char* name) const {
  if (!status_.ok()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void RequestReader::Read(const char* name, bool* value) {
  const ApiJson* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_boolean()) return Mismatch(name, "a boolean", *found);
  *value = found->get<bool>();
}

void RequestReader::Read(const char* name, std::optional<bool>* value) {
  if (Find(name) == nullptr) return;
  bool read = false;
  Read(name, &read);
  *value = read;
}

void RequestReader::Read(const char* name, std::optional<double>* value) {
  const ApiJson* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_number()) return Mismatch(name, "a number", *found);
  *value = found->get<double>();
}

void RequestReader::Read(const char* name, std::optional<float>* value) {
  std::optional<double> read;
  Read(name, &read);
  if (read.has_value()) *value = static_cast<float>(*read);
}

void RequestReader::Read(const char* name, float* value) {
  std::optional<double> read;
  Read(name, &read);
  if (read.has_value()) *value = static_cast<float>(*read);
}

void RequestReader::Read(const char* name, std::string* value) {
  const ApiJson* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_string()) return Mismatch(name, "a string", *found);
  *value = found->get<std::string>();
}

void RequestReader::Read(const char* name, std::vector<std::string>* value) {
  const ApiJson* found = FindList(name);
  if (found == nullptr) return;
  for (size_t i = 0; i < found->size(); ++i) {
    const ApiJson& item = (*found)[i];
    if (!item.is_string()) {
      return Mismatch(absl::StrCat(name, "[", i, "]"), "a string", item);
    }
    value->push_back(item.get<std::string>());
  }
}

void RequestReader::Read(const char* name, std::vector<int32_t>* value) {
  const ApiJson* found = FindList(name);
  if (found == nullptr) return;
  for (size_t i = 0; i < found->size(); ++i) {
    const std::optional<int64_t> number = WholeNumber((*found)[i]);
    if (!number.has_value() ||
        *number != static_cast<int64_t>(static_cast<int32_t>(*number))) {
      return Fail(absl::StrCat(name, "[", i, "]"), "expected a token id");
    }
    value->push_back(static_cast<int32_t>(*number));
  }
}

std::optional<int64_t> RequestReader::Integer64(const char* name, int64_t least,
                                                int64_t most) {
  const ApiJson* found = Find(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) {
    Mismatch(name, "an integer", *found);
    return std::nullopt;
  }
  const std::optional<int64_t> value = WholeNumber(*found);
  if (!value.has_value()) {
    Fail(name, absl::StrCat("expected an integer, found ", found->dump()));
    return std::nullopt;
  }
  if (*value < least || *value > most) {
    Fail(name, absl::StrCat(*value, " is out of range, legal is ", least,
                            " to ", most));
    return std::nullopt;
  }
  return value;
}

const ApiJson* RequestReader::FindObject(const char* name) {
  const ApiJson* found = Find(name);
  if (found == nullptr || found->is_object()) return found;
  Mismatch(name, "an object", *found);
  return nullptr;
}

const ApiJson* RequestReader::FindList(const char* name) {
  const ApiJson* found = Find(name);
  if (found == nullptr || found->is_array()) return found;
  Mismatch(name, "a list", *found);
  return nullptr;
}

std::string RequestReader::ReadChoice(const char* name,
                                      absl::string_view names) {
  std::string value;
  const bool given = Find(name) != nullptr;
  Read(name, &value);
  if (!given || !status_.ok()) return "";
  const std::vector<std::string> words = Words(names);
  for (const std::string& word : words) {
    if (value == word) return value;
  }
  Fail(name, absl::StrCat("\"", value, "\" is not supported, legal is ",
                          absl::StrJoin(words, ", ")));
  return "";
}

void RequestReader::RefuseOthers(absl::string_view names) {
  const std::vector<std::string> words = Words(names);
  for (const auto& [name, value] : object_.items()) {
    bool known = false;
    for (const std::string& word : words) known = known || word == name;
    if (!known) {
      return Fail(name, absl::StrCat("unknown field, known are ",
                                     absl::StrJoin(words, ", ")));
    }
  }
}

}  // namespace facet
