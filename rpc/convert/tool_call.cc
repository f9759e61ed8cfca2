#include "rpc/convert/tool_call.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kQuote = "<|\"|>";
constexpr int kMaxDepth = 64;

std::string ToString(absl::string_view text) {
  return std::string(text.data(), text.size());
}

class Parser {
 public:
  explicit Parser(absl::string_view text) : whole_(text), rest_(text) {}

  absl::StatusOr<Json> Object(int depth) {
    FACET_RETURN_IF_ERROR(Open('{', depth));
    Json object = Json::object();
    while (!Close('}')) {
      std::string key;
      if (absl::StartsWith(rest_, kQuote)) {
        FACET_ASSIGN_OR_RETURN(key, String());
        SkipSpace();
      } else {
        const size_t colon = rest_.find(':');
        if (colon == absl::string_view::npos) return Broken("a missing ':'");
        key = ToString(absl::StripAsciiWhitespace(rest_.substr(0, colon)));
        rest_.remove_prefix(colon);
      }
      if (!absl::ConsumePrefix(&rest_, ":")) return Broken("a missing ':'");
      FACET_ASSIGN_OR_RETURN(object[key], Value(depth));
    }
    return object;
  }

  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }

  absl::Status Broken(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("tool call: ", what, " at byte ",
                     whole_.size() - rest_.size(), " of ", whole_.size()));
  }

 private:
  absl::StatusOr<Json> Value(int depth) {
    SkipSpace();
    if (absl::StartsWith(rest_, kQuote)) {
      FACET_ASSIGN_OR_RETURN(std::string text, String());
      return Json(std::move(text));
    }
    if (absl::StartsWith(rest_, "{")) return Object(depth + 1);
    if (absl::StartsWith(rest_, "[")) return List(depth + 1);
    const size_t end = std::min(rest_.find_first_of(",]}"), rest_.size());
    const absl::string_view word =
        absl::StripAsciiWhitespace(rest_.substr(0, end));
    if (word.empty()) return Broken("a missing value");
    rest_.remove_prefix(end);
    if (word == "None") return Json(nullptr);
    Json scalar = Json::parse(word.begin(), word.end(), nullptr,
                              /*allow_exceptions=*/false);
    if (scalar.is_primitive() && !scalar.is_discarded()) return scalar;
    return Json(ToString(word));
  }

  absl::StatusOr<Json> List(int depth) {
    FACET_RETURN_IF_ERROR(Open('[', depth));
    Json list = Json::array();
    while (!Close(']')) {
      FACET_ASSIGN_OR_RETURN(Json value, Value(depth));
      list.push_back(std::move(value));
    }
    return list;
  }

  absl::StatusOr<std::string> String() {
    rest_.remove_prefix(kQuote.size());
    const size_t end = rest_.find(kQuote);
    if (end == absl::string_view::npos) return Broken("a string without end");
    std::string text = ToString(rest_.substr(0, end));
    rest_.remove_prefix(end + kQuote.size());
    return text;
  }

  absl::Status Open(char bracket, int depth) {
    if (depth > kMaxDepth) return Broken("nesting too deep");
    if (rest_.empty() || rest_.front() != bracket) {
      return Broken(absl::StrCat("a missing '", std::string(1, bracket), "'"));
    }
    rest_.remove_prefix(1);
    first_ = true;
    return absl::OkStatus();
  }

  // True behind the closing bracket; otherwise in front of the next element,
  // or of what cannot be one, which the caller then finds broken.
  bool Close(char bracket) {
    SkipSpace();
    if (!rest_.empty() && rest_.front() == bracket) {
      rest_.remove_prefix(1);
      first_ = false;
      return true;
    }
    if (!first_) absl::ConsumePrefix(&rest_, ",");
    first_ = false;
    SkipSpace();
    if (!rest_.empty() && rest_.front() == bracket) {  // a comma too many
      rest_.remove_prefix(1);
      return true;
    }
    return false;
  }

  void SkipSpace() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }

  const absl::string_view whole_;
  absl::string_view rest_;
  bool first_ = false;  // just behind an opening bracket
};

}  // namespace

absl::StatusOr<ToolCall> ParseToolCall(absl::string_view text) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  absl::ConsumePrefix(&rest, "call:");
  const size_t brace = rest.find('{');
  if (brace == absl::string_view::npos) {
    return absl::InvalidArgumentError("tool call: a missing '{'");
  }
  ToolCall call;
  call.name = ToString(absl::StripAsciiWhitespace(rest.substr(0, brace)));
  Parser parser(rest.substr(brace));
  FACET_ASSIGN_OR_RETURN(call.arguments, parser.Object(0));
  if (!parser.AtEnd()) return parser.Broken("text behind the last '}'");
  return call;
}

}  // namespace facet
