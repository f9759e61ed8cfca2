// Typed, bounded access to the fields of a JSON document that came from
// outside. Errors name the field by its path, the value found and what is
// legal.
#ifndef FACET_RUNTIME_CONFIG_JSON_FIELDS_H_
#define FACET_RUNTIME_CONFIG_JSON_FIELDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace facet {

// Errors: INVALID_ARGUMENT when `text` is not one JSON object.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);

// The text of `path`.
//
// Errors: NOT_FOUND when there is no such file; INVALID_ARGUMENT when it is
// longer than `max_bytes`; INTERNAL when it cannot be read.
absl::StatusOr<std::string> ReadTextFile(const std::string& path,
                                         int64_t max_bytes);

// Reads fields of one object. The first error sticks: later reads return their
// defaults, and the caller looks at status() once, after the last field.
// An absent field and an explicit null both count as missing.
class FieldReader {
 public:
  // `object` must outlive the reader. `path` goes before field names in errors,
  // e.g. "text_config."; empty for the top level.
  FieldReader(const nlohmann::json& object, std::string path)
      : object_(object), path_(std::move(path)) {}

  const absl::Status& status() const { return status_; }

  // Null when missing.
  const nlohmann::json* Find(absl::string_view name) const;

  // Present, be it as null.
  bool Mentions(absl::string_view name) const;

  // Missing fields give `missing`, which may lie outside [low, high].
  int64_t Int(absl::string_view name, int64_t missing, int64_t low,
              int64_t high);
  double Number(absl::string_view name, double missing, double low,
                double high);
  bool Bool(absl::string_view name, bool missing);
  std::string String(absl::string_view name, std::string missing);

  // One integer or a list of at most `max_count`.
  std::vector<int> IntOrList(absl::string_view name, std::vector<int> missing,
                             int64_t low, int64_t high, size_t max_count);

  // Null when missing or no object (the latter is an error).
  const nlohmann::json* Object(absl::string_view name);

  // Keeps the first error: "PATHname: expected `expected`, found VALUE".
  void Fail(absl::string_view name, absl::string_view expected);

  // Takes over the error of a reader of a nested object.
  void Adopt(const absl::Status& status);

 private:
  const nlohmann::json& object_;
  const std::string path_;
  absl::Status status_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CONFIG_JSON_FIELDS_H_
