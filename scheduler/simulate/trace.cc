#include "scheduler/simulate/trace.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr double kMostTokens = 1 << 24;
constexpr double kMostSeconds = 1e9;

// One line of either form: names and values as text.
using Fields = std::vector<std::pair<std::string, std::string>>;

absl::Status Wrong(absl::string_view field, absl::string_view value,
                   absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": \"", value, "\", expected ", expected));
}

absl::Status ParseNumber(absl::string_view field, absl::string_view value,
                         double least, double most, double* number) {
  if (absl::SimpleAtod(value, number) && *number >= least && *number <= most) {
    return absl::OkStatus();
  }
  return Wrong(field, value,
               absl::StrCat("a number from ", least, " to ", most));
}

absl::Status ParseWhole(absl::string_view field, absl::string_view value,
                        double least, double most, int64_t* number) {
  if (absl::SimpleAtoi(value, number) && *number >= least && *number <= most) {
    return absl::OkStatus();
  }
  return Wrong(field, value,
               absl::StrCat("a whole number from ", static_cast<int64_t>(least),
                            " to ", static_cast<int64_t>(most)));
}

absl::StatusOr<Fields> JsonFields(absl::string_view line) {
  const nlohmann::json json = nlohmann::json::parse(
      line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        R"(expected an object such as {"arrival_s": 0, "prompt_tokens": 9, )"
        R"("output_tokens": 9})");
  }
  Fields fields;
  for (const auto& [name, value] : json.items()) {
    if (value.is_string()) {
      fields.emplace_back(name, value.get<std::string>());
    } else if (value.is_number()) {
      fields.emplace_back(name, value.dump());
    } else {
      return Wrong(name, value.type_name(), "a number or a string");
    }
  }
  return fields;
}

absl::StatusOr<Fields> CsvFields(absl::string_view line,
                                 const std::vector<std::string>& header) {
  const std::vector<std::string> cells = absl::StrSplit(line, ',');
  if (cells.size() != header.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(cells.size(), " cells, the header names ", header.size()));
  }
  Fields fields;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string cell(absl::StripAsciiWhitespace(cells[i]));
    if (!cell.empty()) fields.emplace_back(header[i], cell);
  }
  return fields;
}

absl::Status ParseField(const std::string& name, const std::string& value,
                        SimRequest* request) {
  int64_t whole = 0;
  if (name == "arrival_s") {
    return ParseNumber(name, value, 0, kMostSeconds, &request->arrival_s);
  }
  if (name == "prompt_tokens") {
    return ParseWhole(name, value, 1, kMostTokens, &request->prompt_tokens);
  }
  if (name == "output_tokens") {
    return ParseWhole(name, value, 1, kMostTokens, &request->output_tokens);
  }
  if (name == "max_tokens") {
    return ParseWhole(name, value, 1, kMostTokens, &request->max_tokens);
  }
  if (name == "priority") {
    FACET_RETURN_IF_ERROR(ParseWhole(name, value, -100, 100, &whole));
    request->priority = static_cast<int>(whole);
    return absl::OkStatus();
  }
  if (name == "n") {
    FACET_RETURN_IF_ERROR(ParseWhole(name, value, 1, 1024, &whole));
    request->samples = static_cast<int>(whole);
    return absl::OkStatus();
  }
  if (name == "prefix") {
    request->prefix = value;
    return absl::OkStatus();
  }
  if (name == "prefix_tokens") {
    return ParseWhole(name, value, 0, kMostTokens, &request->prefix_tokens);
  }
  if (name == "conversation") {
    request->conversation = value;
    return absl::OkStatus();
  }
  if (name == "think_s") {
    return ParseNumber(name, value, 0, kMostSeconds, &request->think_s);
  }
  if (name == "cancel_after_s") {
    return ParseNumber(name, value, 0, kMostSeconds, &request->cancel_after_s);
  }
  if (name == "deadline_s") {
    return ParseNumber(name, value, 0, kMostSeconds, &request->deadline_s);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name,
      ": unknown field, legal are arrival_s, prompt_tokens, output_tokens, "
      "max_tokens, priority, n, prefix, prefix_tokens, conversation, think_s, "
      "cancel_after_s, deadline_s; or failure_s and recovery_s"));
}

absl::Status AddFailure(const Fields& fields, Workload* workload) {
  SimFailure failure;
  for (const auto& [name, value] : fields) {
    if (name == "failure_s") {
      FACET_RETURN_IF_ERROR(
          ParseNumber(name, value, 0, kMostSeconds, &failure.at_s));
    } else if (name == "recovery_s") {
      FACET_RETURN_IF_ERROR(
          ParseNumber(name, value, 0, kMostSeconds, &failure.recovery_s));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(name,
                       ": a line with failure_s may have recovery_s, "
                       "nothing else"));
    }
  }
  workload->failures.push_back(failure);
  return absl::OkStatus();
}

absl::Status AddLine(const Fields& fields, Workload* workload) {
  const auto has = [&](absl::string_view name) {
    return std::any_of(fields.begin(), fields.end(), [&](const auto& field) {
      return absl::string_view(field.first) == name;
    });
  };
  if (has("failure_s")) return AddFailure(fields, workload);
  for (const char* name : {"arrival_s", "prompt_tokens", "output_tokens"}) {
    if (!has(name)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is missing"));
    }
  }
  SimRequest request;
  for (const auto& [name, value] : fields) {
    FACET_RETURN_IF_ERROR(ParseField(name, value, &request));
  }
  if (request.prefix_tokens > 0 && request.prefix.empty()) {
    return absl::InvalidArgumentError("prefix_tokens without a prefix");
  }
  workload->requests.push_back(std::move(request));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Workload> ParseTrace(absl::string_view text) {
  Workload workload;
  std::optional<std::vector<std::string>> header;
  bool json = false;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    json = json || (!header.has_value() && line.front() == '{');
    if (!json && !header.has_value()) {
      header.emplace();
      for (absl::string_view name : absl::StrSplit(line, ',')) {
        header->emplace_back(absl::StripAsciiWhitespace(name));
      }
      continue;
    }
    const absl::StatusOr<Fields> fields =
        json ? JsonFields(line) : CsvFields(line, *header);
    absl::Status status = fields.status();
    if (status.ok()) status = AddLine(*fields, &workload);
    FACET_RETURN_IF_ERROR(Annotate(status, absl::StrCat("line ", number)));
  }
  std::stable_sort(workload.requests.begin(), workload.requests.end(),
                   [](const SimRequest& a, const SimRequest& b) {
                     return a.arrival_s < b.arrival_s;
                   });
  std::stable_sort(
      workload.failures.begin(), workload.failures.end(),
      [](const SimFailure& a, const SimFailure& b) { return a.at_s < b.at_s; });
  return workload;
}

absl::StatusOr<Workload> ReadTrace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError(
        absl::StrCat(path, ": no trace can be read there"));
  }
  absl::StatusOr<Workload> workload = ParseTrace(text.str());
  if (!workload.ok()) return Annotate(workload.status(), path);
  return workload;
}

}  // namespace facet
