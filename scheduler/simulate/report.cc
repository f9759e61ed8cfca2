#include "scheduler/simulate/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace facet {
namespace {

void AppendSeconds(absl::string_view name, const Distribution& d,
                   std::string* text) {
  absl::StrAppendFormat(text, "%-18s %10.3f %10.3f %10.3f %10.3f %10.3f\n",
                        name, d.p50, d.p90, d.p99, d.max, d.mean);
}

void AppendPool(absl::string_view name, const PoolReport& pool,
                std::string* text) {
  const double percent =
      pool.pages > 0 ? 100 / static_cast<double>(pool.pages) : 0;
  absl::StrAppendFormat(text, "%-18s %10d %9.1f%% %9.1f%% %9.1f%% %9.1f%%\n",
                        name, pool.pages, pool.held.mean * percent,
                        pool.held.max * percent, pool.cached.mean * percent,
                        pool.cached.max * percent);
}

nlohmann::ordered_json Json(const Distribution& d) {
  return {{"count", d.count}, {"mean", d.mean}, {"p50", d.p50},
          {"p90", d.p90},     {"p99", d.p99},   {"max", d.max}};
}

nlohmann::ordered_json Json(const LevelReport& level) {
  return {{"mean", level.mean}, {"max", level.max}};
}

nlohmann::ordered_json Json(const PoolReport& pool) {
  return {{"pages", pool.pages},
          {"held", Json(pool.held)},
          {"cached", Json(pool.cached)}};
}

}  // namespace

Distribution Describe(std::vector<float> values) {
  Distribution d;
  d.count = static_cast<int64_t>(values.size());
  if (values.empty()) return d;
  std::sort(values.begin(), values.end());
  const auto at = [&](double percent) {
    const auto rank = static_cast<size_t>(
        std::ceil(percent / 100 * static_cast<double>(values.size())));
    return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
  };
  d.mean = std::accumulate(values.begin(), values.end(), 0.0) /
           static_cast<double>(values.size());
  d.p50 = at(50);
  d.p90 = at(90);
  d.p99 = at(99);
  d.max = values.back();
  return d;
}

void TimeMean::Set(double now_s, double value) {
  area_ += (now_s - since_s_) * value_;
  seconds_ += now_s - since_s_;
  since_s_ = now_s;
  value_ = value;
  max_ = std::max(max_, value);
}

std::string ToTable(const SimulationReport& r) {
  std::string text = absl::StrFormat(
      "requests           %10d   completed %d, cancelled %d, expired %d, "
      "refused %d, turned away %d, unfinished %d\n",
      r.requests, r.completed, r.cancelled, r.expired, r.refused, r.turned_away,
      r.unfinished);
  absl::StrAppendFormat(&text,
                        "simulated          %10.1f s\n"
                        "throughput         %10.1f output tokens/s, %.1f "
                        "prompt tokens/s, %.3f requests/s\n\n",
                        r.simulated_s, r.output_tokens_per_s(),
                        r.prompt_tokens_per_s(), r.requests_per_s());
  absl::StrAppendFormat(&text, "%-18s %10s %10s %10s %10s %10s\n", "seconds",
                        "p50", "p90", "p99", "max", "mean");
  AppendSeconds("first token", r.first_token_s, &text);
  AppendSeconds("inter-token", r.inter_token_s, &text);
  AppendSeconds("end to end", r.end_to_end_s, &text);
  AppendSeconds("queue", r.queue_s, &text);

  absl::StrAppendFormat(&text, "\n%-18s %10s %10s %10s %10s %10s\n", "pool",
                        "pages", "held mean", "held max", "cache mean",
                        "cache max");
  AppendPool("sliding", r.sliding, &text);
  AppendPool("global", r.global, &text);

  absl::StrAppendFormat(
      &text,
      "\nrunning            %10.1f mean, %.0f max\n"
      "waiting            %10.1f mean, %.0f max\n"
      "preemptions        %10d\n"
      "failures           %10d\n"
      "prefix hits        %9.1f%%   %d of %d prompt tokens\n"
      "tokens computed    %10d   %d of prompts, %d of answers wanted\n"
      "steps              %10d   decode %d, mixed %d, prefill %d, empty %d\n"
      "stages busy        %9.1f%%\n"
      "scheduler          %10.1f us a step, p99 %.1f us, max %.1f us "
      "(measured)\n",
      r.running.mean, r.running.max, r.waiting.mean, r.waiting.max,
      r.preemptions, r.failures, 100 * r.prefix_hit_rate(), r.prefix_hits,
      r.prefix_queries, r.computed_tokens, r.prompt_tokens, r.output_tokens,
      r.steps, r.decode_steps, r.mixed_steps, r.prefill_steps, r.empty_steps,
      100 * r.stage_busy, r.scheduler_us.mean, r.scheduler_us.p99,
      r.scheduler_us.max);
  return text;
}

std::string ToJson(const SimulationReport& r) {
  nlohmann::ordered_json json;
  json["requests"] = {
      {"all", r.requests},         {"completed", r.completed},
      {"cancelled", r.cancelled},  {"expired", r.expired},
      {"refused", r.refused},      {"turned_away", r.turned_away},
      {"unfinished", r.unfinished}};
  json["simulated_s"] = r.simulated_s;
  json["requests_per_s"] = r.requests_per_s();
  json["prompt_tokens"] = r.prompt_tokens;
  json["prompt_tokens_per_s"] = r.prompt_tokens_per_s();
  json["output_tokens"] = r.output_tokens;
  json["output_tokens_per_s"] = r.output_tokens_per_s();
  json["computed_tokens"] = r.computed_tokens;
  json["first_token_s"] = Json(r.first_token_s);
  json["inter_token_s"] = Json(r.inter_token_s);
  json["end_to_end_s"] = Json(r.end_to_end_s);
  json["queue_s"] = Json(r.queue_s);
  json["running"] = Json(r.running);
  json["waiting"] = Json(r.waiting);
  json["preemptions"] = r.preemptions;
  json["failures"] = r.failures;
  json["prefix_queries"] = r.prefix_queries;
  json["prefix_hits"] = r.prefix_hits;
  json["prefix_hit_rate"] = r.prefix_hit_rate();
  json["sliding_pages"] = Json(r.sliding);
  json["global_pages"] = Json(r.global);
  json["steps"] = {{"all", r.steps},
                   {"decode", r.decode_steps},
                   {"mixed", r.mixed_steps},
                   {"prefill", r.prefill_steps},
                   {"empty", r.empty_steps}};
  json["stage_busy"] = r.stage_busy;
  json["scheduler_us_measured"] = Json(r.scheduler_us);
  return json.dump(2);
}

}  // namespace facet
