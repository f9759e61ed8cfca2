#include "rpc/cli/top/top_screen.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "rpc/cli/byte_size.h"

namespace facet {
namespace {

using Json = nlohmann::json;

constexpr int kBarCells = 24;

class Screen {
 public:
  Screen(const TopView& view, bool color) : view_(view), color_(color) {}

  std::string Text() {
    Head();
    Rates();
    Latencies();
    Pool("global");
    Pool("sliding");
    Ranks();
    return std::move(text_);
  }

 private:
  double Gain(const std::string& name) const {
    return view_.now.Gain(view_.before, name);
  }
  double Rate(const std::string& name) const {
    return Gain(name) / absl::ToDoubleSeconds(view_.between);
  }

  std::string Quantile(const std::string& name, double share) const {
    const auto seconds = view_.now.Quantile(view_.before, name, share);
    if (!seconds.has_value()) return "-";
    if (*seconds < 0.01) return absl::StrFormat("%.2f ms", *seconds * 1000);
    if (*seconds < 1) return absl::StrFormat("%.0f ms", *seconds * 1000);
    return absl::StrFormat("%.2f s", *seconds);
  }

  void Line(const char* name, const std::string& text) {
    absl::StrAppend(&text_, Dim(absl::StrFormat("%-12s", name)), text, "\n");
  }

  std::string Dim(const std::string& text) const {
    return color_ ? absl::StrCat("\033[2m", text, "\033[0m") : text;
  }

  void Head() {
    const Json& cluster = view_.cluster;
    Line("model",
         absl::StrFormat(
             "%s, %d layers, context %d, %d ranks = pp %d x tp %d",
             cluster["model"].get<std::string>(), cluster["layers"].get<int>(),
             cluster["context_tokens"].get<int64_t>(), cluster["ranks"].size(),
             cluster["pp"].get<int>(), cluster["tp"].get<int>()));
  }

  void Rates() {
    Line("requests",
         absl::StrFormat("%.0f running, %.0f waiting, %.1f/s refused, "
                         "%.1f/s preempted",
                         view_.now.Value("num_requests_running"),
                         view_.now.Value("num_requests_waiting"), Refused(),
                         Rate("num_preemptions_total")));
    const double asked = Gain("prefix_cache_queries_total");
    const std::string cached =
        asked > 0
            ? absl::StrFormat(", %.0f %% of prompts from the prefix cache",
                              100 * Gain("prefix_cache_hits_total") / asked)
            : "";
    Line("tokens", absl::StrFormat("%.1f/s generated, %.1f/s of prompts%s",
                                   Rate("generation_tokens_total"),
                                   Rate("prompt_tokens_total"), cached));
  }

  double Refused() const {
    double sum = 0;
    for (const char* reason :
         {"queue_full", "invalid", "unavailable", "deadline", "other"}) {
      sum +=
          Rate(absl::StrCat("requests_refused_total{reason=\"", reason, "\"}"));
    }
    return sum;
  }

  void Latencies() {
    const auto both = [this](const char* name) {
      return absl::StrCat(Quantile(name, 0.5), " / ", Quantile(name, 0.99));
    };
    Line("latency",
         absl::StrFormat("first token %s, between tokens %s, queue %s",
                         both("time_to_first_token_seconds"),
                         both("inter_token_latency_seconds"),
                         both("request_queue_time_seconds")));
    absl::StrAppend(&text_, Dim("            median / 99 % of the last "),
                    Dim(absl::FormatDuration(
                        absl::Trunc(view_.between, absl::Milliseconds(100)))),
                    "\n");
  }

  void Pool(const std::string& pool) {
    const auto pages = [&](const char* state) {
      return view_.now.Value(
          absl::StrCat("kv_pages{pool=\"", pool, "\",state=\"", state, "\"}"));
    };
    const double used = pages("used"), cached = pages("cached");
    const double all = used + cached + pages("free");
    if (all <= 0) return;
    const int full = static_cast<int>(kBarCells * used / all + 0.5);
    const int kept = std::min(kBarCells - full,
                              static_cast<int>(kBarCells * cached / all + 0.5));
    Line(absl::StrCat("K/V ", pool).c_str(),
         absl::StrFormat("[%s%s%s] %.0f %% used, %.0f %% cached",
                         std::string(full, '#'), std::string(kept, '+'),
                         std::string(kBarCells - full - kept, '.'),
                         100 * used / all, 100 * cached / all));
  }

  void Ranks() {
    absl::StrAppend(
        &text_, "\n",
        Dim(absl::StrFormat("%4s %5s  %-9s %12s %12s %12s  %s\n", "rank",
                            "stage", "layers", "weights", "K/V", "step", "")));
    for (const Json& rank : view_.cluster["ranks"]) {
      const int number = rank["rank"].get<int>();
      const std::string label = absl::StrCat("{rank=\"", number, "\"}");
      const bool up = view_.now.Value("worker_up" + label) > 0;
      const std::string state =
          up ? "up" : (color_ ? "\033[31mdown\033[0m" : "down");
      absl::StrAppendFormat(
          &text_, "%4d %5d  %-9s %12s %12s %12s  %s\n", number,
          rank["stage"].get<int>(),
          absl::StrCat(rank["first_layer"].get<int>(), "-",
                       rank["last_layer"].get<int>()),
          FormatByteSize(rank["weight_bytes"].get<int64_t>()),
          FormatByteSize(rank["kv_bytes"].get<int64_t>()),
          Quantile("worker_step_compute_seconds" + label, 0.5), state);
    }
  }

  const TopView& view_;
  const bool color_;
  std::string text_;
};

}  // namespace

absl::StatusOr<Json> ParseCluster(absl::string_view json) {
  Json cluster = Json::parse(json.begin(), json.end(), nullptr, false);
  const auto has = [](const Json& object, const char* name) {
    return object.contains(name) && object[name].is_number_integer();
  };
  bool good = cluster.is_object() && cluster.contains("model") &&
              cluster["model"].is_string() && has(cluster, "layers") &&
              has(cluster, "context_tokens") && has(cluster, "pp") &&
              has(cluster, "tp") && cluster.contains("ranks") &&
              cluster["ranks"].is_array();
  if (good) {
    for (const Json& rank : cluster["ranks"]) {
      for (const char* name : {"rank", "stage", "first_layer", "last_layer",
                               "weight_bytes", "kv_bytes"}) {
        good = good && rank.is_object() && has(rank, name);
      }
    }
  }
  if (good) return cluster;
  return absl::InvalidArgumentError(
      "what answers there is no Facet server: /cluster is not its picture");
}

std::string TopScreen(const TopView& view, bool color) {
  return Screen(view, color).Text();
}

}  // namespace facet
