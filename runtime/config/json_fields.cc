#include "runtime/config/json_fields.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet {
namespace {

using nlohmann::json;

// A value as it goes into a message: one short line.
std::string Shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return absl::StrCat("a list of ", value.size());
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true,
                                json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

bool ToInt64(const json& value, int64_t* result) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return false;
    }
    *result = static_cast<int64_t>(number);
    return true;
  }
  if (!value.is_number_integer()) return false;
  *result = value.get<int64_t>();
  return true;
}

}  // namespace

absl::StatusOr<json> ParseJsonObject(absl::string_view text) {
  try {
    json document = json::parse(text.data(), text.data() + text.size());
    if (!document.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected a JSON object, found ", Shown(document)));
    }
    return document;
  } catch (const json::exception& error) {
    // The library's text may quote a long token of the document.
    return absl::InvalidArgumentError(absl::StrCat(
        "not JSON: ", absl::string_view(error.what()).substr(0, 200)));
  }
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path,
                                         int64_t max_bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    const std::string why = absl::StrCat(path, ": ", std::strerror(errno));
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(why);
    return absl::InternalError(why);
  }
  std::string text;
  char buffer[1 << 16];
  size_t count;
  while ((count = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    text.append(buffer, count);
    if (static_cast<int64_t>(text.size()) > max_bytes) break;
  }
  const bool failed = std::ferror(file) != 0;
  const std::string why = failed ? std::strerror(errno) : "";
  std::fclose(file);
  if (failed) return absl::InternalError(absl::StrCat(path, ": ", why));
  if (static_cast<int64_t>(text.size()) > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": longer than the ", max_bytes, " bytes such a file may have"));
  }
  return text;
}

const json* FieldReader::Find(absl::string_view name) const {
  const auto it = object_.find(std::string(name));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool FieldReader::Mentions(absl::string_view name) const {
  return object_.find(std::string(name)) != object_.end();
}

int64_t FieldReader::Int(absl::string_view name, int64_t missing, int64_t low,
                         int64_t high) {
  const json* value = Find(name);
  if (value == nullptr) return missing;
  int64_t number = 0;
  if (!ToInt64(*value, &number) || number < low || number > high) {
    Fail(name, absl::StrCat("an integer from ", low, " to ", high));
    return missing;
  }
  return number;
}

double FieldReader::Number(absl::string_view name, double missing, double low,
                           double high) {
  const json* value = Find(name);
  if (value == nullptr) return missing;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    Fail(name, absl::StrFormat("a number from %g to %g", low, high));
    return missing;
  }
  return number;
}

bool FieldReader::Bool(absl::string_view name, bool missing) {
  const json* value = Find(name);
  if (value == nullptr) return missing;
  if (!value->is_boolean()) {
    Fail(name, "true or false");
    return missing;
  }
  return value->get<bool>();
}

std::string FieldReader::String(absl::string_view name, std::string missing) {
  const json* value = Find(name);
  if (value == nullptr) return missing;
  if (!value->is_string()) {
    Fail(name, "a string");
    return missing;
  }
  return value->get<std::string>();
}

std::vector<int> FieldReader::IntOrList(absl::string_view name,
                                        std::vector<int> missing, int64_t low,
                                        int64_t high, size_t max_count) {
  const json* value = Find(name);
  if (value == nullptr) return missing;
  std::vector<int> result;
  const auto take = [&](const json& element) {
    int64_t number = 0;
    if (!ToInt64(element, &number) || number < low || number > high) {
      return false;
    }
    result.push_back(static_cast<int>(number));
    return true;
  };
  bool good = true;
  if (!value->is_array()) {
    good = take(*value);
  } else if (value->size() > max_count) {
    good = false;
  } else {
    for (const json& element : *value) good = good && take(element);
  }
  if (!good) {
    Fail(name, absl::StrCat("an integer from ", low, " to ", high,
                            " or a list of at most ", max_count, " of them"));
    return missing;
  }
  return result;
}

const json* FieldReader::Object(absl::string_view name) {
  const json* value = Find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    Fail(name, "an object");
    return nullptr;
  }
  return value;
}

void FieldReader::Fail(absl::string_view name, absl::string_view expected) {
  const json* value = Find(name);
  Adopt(absl::InvalidArgumentError(absl::StrCat(path_, name, ": expected ",
                                                expected, ", found ",
                                                value != nullptr ? Shown(*value)
                                                : Mentions(name) ? "null"
                                                                 : "nothing")));
}

void FieldReader::Adopt(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

}  // namespace facet
