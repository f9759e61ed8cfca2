#include "rpc/cli/doctor/doctor_report.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace facet {
namespace {

using Json = nlohmann::json;

// Names of machines come from workers, and a terminal obeys some bytes.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

nlohmann::ordered_json RankJson(const RankCondition& rank) {
  nlohmann::ordered_json json;
  if (rank.rank >= 0) json["rank"] = rank.rank;
  json["state"] = Name(rank.state);
  if (rank.state == RankCondition::State::kAbsent) return json;
  json["host"] = rank.host;
  json["pid"] = rank.pid;
  json["heard_ms"] = absl::ToInt64Milliseconds(rank.heard);
  const RankActivity& activity = rank.activity;
  if (activity.moves == 0) return json;
  json["running"] = activity.running;
  json["step"] = activity.step;
  json["since_ms"] = absl::ToInt64Milliseconds(
      activity.waits_for >= 0 ? activity.waits : activity.since);
  if (activity.layer >= 0) json["layer"] = activity.layer;
  json["operation"] = activity.running ? activity.operation : "idle";
  if (activity.waits_for >= 0) json["waits_for"] = activity.waits_for;
  json["calls"] = activity.calls;
  return json;
}

// Of a number that may be absent.
std::string Cell(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end()
             ? "-"
             : Printable(found->is_string() ? found->get<std::string>()
                                            : found->dump());
}

std::string Age(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return "-";
  return absl::StrFormat("%.1fs", found->get<int64_t>() / 1000.0);
}

// Columns as wide as their widest cell.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppendFormat(&line, "%-*s", static_cast<int>(widths[i] + 2),
                            row[i]);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace

absl::Duration DoctorsPatience(const ClusterCondition& cluster) {
  return std::min(cluster.stall_timeout,
                  std::max(absl::Seconds(5), 3 * cluster.heartbeat_interval));
}

std::string DoctorJson(const ClusterCondition& cluster) {
  const Diagnosis diagnosis = Diagnose(cluster, DoctorsPatience(cluster));
  nlohmann::ordered_json json;
  json["wrong"] = diagnosis.wrong();
  json["kind"] = Name(diagnosis.kind);
  if (diagnosis.rank >= 0) json["rank"] = diagnosis.rank;
  json["verdict"] = diagnosis.verdict;
  json["advice"] = diagnosis.advice;
  json["epoch"] = cluster.epoch;
  json["spares"] = cluster.spares;
  if (cluster.step.has_value()) {
    json["step"] = *cluster.step;
    json["step_ms"] = absl::ToInt64Milliseconds(cluster.step_age);
  }
  json["ranks"] = nlohmann::ordered_json::array();
  for (const RankCondition& rank : cluster.ranks) {
    json["ranks"].push_back(RankJson(rank));
  }
  return json.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

absl::StatusOr<Json> ParseDoctorJson(absl::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  bool good = json.is_object() && json.contains("wrong") &&
              json["wrong"].is_boolean() && json.contains("epoch") &&
              json.contains("spares") && json["spares"].is_number_integer() &&
              json.contains("ranks") && json["ranks"].is_array();
  for (const char* name : {"kind", "verdict", "advice"}) {
    good = good && json.contains(name) && json[name].is_string();
  }
  if (good) {
    for (const Json& rank : json["ranks"]) {
      good = good && rank.is_object() && rank.contains("state");
      for (const char* name : {"since_ms", "heard_ms"}) {
        good = good && (!rank.is_object() || !rank.contains(name) ||
                        rank[name].is_number_integer());
      }
    }
  }
  if (good) return json;
  return absl::InvalidArgumentError(
      "what answers there is no Facet server of this version: /doctor is not "
      "its report");
}

std::string DoctorScreen(const Json& report, bool calls) {
  std::vector<std::vector<std::string>> rows = {
      {"rank", "host", "state", "epoch", "step", "layer", "operation",
       "waits for", "since", "heard"}};
  for (const Json& rank : report["ranks"]) {
    const bool waits = rank.contains("waits_for");
    rows.push_back(
        {Cell(rank, "rank"), Cell(rank, "host"), Cell(rank, "state"),
         Cell(report, "epoch"), Cell(rank, "step"), Cell(rank, "layer"),
         Cell(rank, "operation"),
         waits ? absl::StrCat("rank ", Cell(rank, "waits_for")) : "-",
         Age(rank, "since_ms"), Age(rank, "heard_ms")});
  }
  std::string text = Table(rows);
  if (report["spares"].get<int64_t>() > 0) {
    absl::StrAppend(&text, "spare workers: ", Cell(report, "spares"), "\n");
  }
  if (calls) {
    for (const Json& rank : report["ranks"]) {
      const std::string list =
          rank.contains("calls") ? Cell(rank, "calls") : "";
      absl::StrAppend(&text, "\nlast calls of rank ", Cell(rank, "rank"),
                      ":\n");
      for (const absl::string_view call : absl::StrSplit(
               list.empty() ? absl::string_view("none known") : list, "; ")) {
        absl::StrAppend(&text, "  ", call, "\n");
      }
    }
  }
  absl::StrAppend(&text, "\n", Cell(report, "kind"), ": ",
                  Cell(report, "verdict"), ".\n");
  const std::string advice = Cell(report, "advice");
  if (!advice.empty()) absl::StrAppend(&text, "what to do: ", advice, ".\n");
  return text;
}

}  // namespace facet
