// Reads the fields of a JSON object into typed values. Null counts as absent,
// as in OpenAI's API.
#ifndef FACET_RPC_OPENAI_REQUEST_READER_H_
#define FACET_RPC_OPENAI_REQUEST_READER_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "rpc/openai/api_json.h"

namespace facet {

// The first thing wrong is kept, and nothing is read after it. Errors are
// INVALID_ARGUMENT "FIELD: expected ..., found ...".
class RequestReader {
 public:
  // `object` outlives the reader and is a JSON object. `path` is where it
  // stands, e.g. "messages[0]"; empty for the body itself.
  explicit RequestReader(const ApiJson& object, std::string path = "")
      : object_(object), path_(std::move(path)) {}

  // Null where the field is absent or null.
  const ApiJson* Find(const char* name) const;

  // Each leaves `value` alone where the field is absent.
  void Read(const char* name, bool* value);
  void Read(const char* name, std::optional<bool>* value);
  void Read(const char* name, float* value);
  void Read(const char* name, std::optional<float>* value);
  void Read(const char* name, std::optional<double>* value);
  void Read(const char* name, std::string* value);
  void Read(const char* name, std::vector<std::string>* value);
  void Read(const char* name, std::vector<int32_t>* value);

  // A whole number, also one written as 3.0.
  template <typename Integer>
  void ReadInteger(const char* name, Integer* value) {
    std::optional<int64_t> read =
        Integer64(name, int64_t{std::numeric_limits<Integer>::min()},
                  static_cast<int64_t>(std::numeric_limits<Integer>::max()));
    if (read.has_value()) *value = static_cast<Integer>(*read);
  }
  template <typename Integer>
  void ReadInteger(const char* name, std::optional<Integer>* value) {
    std::optional<int64_t> read =
        Integer64(name, int64_t{std::numeric_limits<Integer>::min()},
                  static_cast<int64_t>(std::numeric_limits<Integer>::max()));
    if (read.has_value()) *value = static_cast<Integer>(*read);
  }

  // The field as an object or list; null where it is absent or neither, which
  // is an error.
  const ApiJson* FindObject(const char* name);
  const ApiJson* FindList(const char* name);

  // One of `names`, each without spaces, separated by spaces; empty where
  // absent or none of them, which is an error.
  std::string ReadChoice(const char* name, absl::string_view names);

  // Refuses every field that is not among `names`, separated by spaces.
  void RefuseOthers(absl::string_view names);

  // "path.name".
  std::string PathOf(absl::string_view name) const;

  // Notes "path.name: what" unless something was wrong before.
  void Fail(absl::string_view name, absl::string_view what);
  void Fail(const absl::Status& status);

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  std::optional<int64_t> Integer64(const char* name, int64_t least,
                                   int64_t most);
  void Mismatch(absl::string_view name, absl::string_view expected,
                const ApiJson& found);

  const ApiJson& object_;
  const std::string path_;
  absl::Status status_;
};

// "a string", "null", ... for messages.
const char* KindOf(const ApiJson& json);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_REQUEST_READER_H_
