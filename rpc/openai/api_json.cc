#include "rpc/openai/api_json.h"

#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {

absl::StatusOr<ApiJson> ParseApiJson(const std::string& body) {
  const size_t valid = ValidUtf8Prefix(body);
  if (valid < body.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not UTF-8 at byte ", valid));
  }
  bool too_deep = false;
  std::string twice;
  std::set<std::string> names;
  const auto watch = [&](int depth, ApiJson::parse_event_t event,
                         ApiJson& parsed) {
    if (depth > kMaxApiJsonDepth) too_deep = true;
    if (depth == 1 && event == ApiJson::parse_event_t::key &&
        !names.insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return depth <= kMaxApiJsonDepth;
  };
  ApiJson json;
  try {
    json = ApiJson::parse(body, watch);
  } catch (const nlohmann::json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, ...": the
    // bracket tells a user nothing.
    std::string what = e.what();
    const size_t bracket = what.find("] ");
    if (bracket != std::string::npos) what.erase(0, bracket + 2);
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not JSON: ", what));
  }
  if (too_deep) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body is nested deeper than ", kMaxApiJsonDepth, " levels"));
  }
  if (!json.is_object()) {
    return absl::InvalidArgumentError("the body has to be a JSON object");
  }
  if (!twice.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(twice, ": given twice"));
  }
  return json;
}

std::string PrintApiJson(const ApiJson& json) {
  return json.dump(-1, ' ', false, ApiJson::error_handler_t::replace);
}

}  // namespace facet
