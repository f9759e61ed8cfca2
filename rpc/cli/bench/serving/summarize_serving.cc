#include "rpc/cli/bench/serving/summarize_serving.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

// Goals that a reader compares with.
constexpr double kPrefixGoal = 0.1;

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// The share of a step that lies within [begin, end].
double ShareInside(const ServedStep& step, SteadyClock::time_point begin,
                   SteadyClock::time_point end) {
  const auto inside = std::min(step.end, end) - std::max(step.begin, begin);
  if (inside <= SteadyClock::duration::zero()) return 0;
  return Seconds(inside) / Seconds(step.end - step.begin);
}

double LeastSeconds(const ServedStep& step, const ServingContext& context,
                    const MachineRates& rates) {
  if (context.model == nullptr || rates.bytes_per_s <= 0) return 0;
  const StepWork work =
      WorkOfStep(*context.model, step.slices, context.kv_bytes_per_element);
  return std::max((work.weight_bytes + work.kv_bytes) / rates.bytes_per_s,
                  work.flops / rates.flops_per_s);
}

MachineRates RatesOf(const ServedLoad& load, bool bf16_dot) {
  MachineRates rates;
  if (!load.before.has_value() || !load.after.has_value()) return rates;
  const auto mean = [&](double LimitSample::*of) {
    return ((*load.before).*of + (*load.after).*of) / 2 * 1e9;
  };
  rates.bytes_per_s = mean(&LimitSample::matvec_gb_per_s);
  rates.flops_per_s = mean(bf16_dot ? &LimitSample::bf16_dot_gflop_per_s
                                    : &LimitSample::fma_gflop_per_s);
  return rates;
}

std::string NameOf(const LoadShape& shape) {
  return shape.closed() ? absl::StrCat("closed ", shape.concurrency)
                        : absl::StrFormat("open %.3g/s", shape.rate);
}

class ServingSummary {
 public:
  ServingSummary(const ServingMeasurements& all, const ServingContext& context)
      : all_(all), context_(context) {}

  BenchReport Make() {
    for (const ServedLoad& load : all_.loads) {
      if (load.shape.concurrency == 1) alone_ = OutputRate(load);
    }
    for (const ServedLoad& load : all_.loads) AddLoad(load);
    if (all_.prefix.has_value()) AddPrefix(*all_.prefix);
    AddNotes();
    return std::move(report_);
  }

 private:
  void Add(const std::string& name, const std::string& unit, double value,
           double limit = 0, const std::string& limit_name = "") {
    report_.figures.push_back({group_, name, unit, Once(value), limit,
                               limit > 0 ? limit_name : "", Rate()});
  }

  void AddPercentiles(const std::string& name, std::vector<double> seconds) {
    if (seconds.empty()) return;
    for (int percent : {50, 90, 99}) {
      Add(absl::StrCat(name, "_p", percent), "ms",
          Percentile(seconds, percent) * 1e3);
    }
  }

  static double OutputRate(const ServedLoad& load) {
    return static_cast<double>(load.seen.output_tokens) / load.seen.seconds();
  }

  void AddLoad(const ServedLoad& load) {
    group_ = NameOf(load.shape);
    const LoadResult& seen = load.seen;
    const double seconds = seen.seconds();
    const StepTotals totals =
        TotalsOf(load.steps, seen.begin, seen.end, context_,
                 RatesOf(load, context_.bf16_dot));
    // In an open loop the users set the rate, not the machine.
    const double at_bound = load.shape.closed() && totals.bound_s() > 0
                                ? seconds / totals.bound_s()
                                : 0;
    const char* const name = "bound of the same steps";
    const double output = OutputRate(load);
    const double total =
        output + static_cast<double>(seen.prompt_tokens) / seconds;
    Add("requests", "", static_cast<double>(seen.requests));
    Add("requests_per_s", "1/s", static_cast<double>(seen.requests) / seconds);
    Add("output_tokens_per_s", "tokens/s", output, output * at_bound, name);
    Add("total_tokens_per_s", "tokens/s", total, total * at_bound, name);
    if (load.shape.closed() && alone_ > 0) {
      Add("times_concurrency_1", "x", output / alone_);
    }
    AddPercentiles("first_token", seen.first_token_s);
    if (seen.first_token_s.empty() || seen.requests == 0) {
      report_.notes.push_back(absl::StrCat(
          group_,
          ": too few answers began or ended within the window for all "
          "figures; give more --seconds"));
    }
    AddPercentiles("next_token", seen.next_token_s);
    AddPercentiles("end_to_end", seen.end_to_end_s);
    if (totals.steps > 0) AddSteps(totals, seconds);
  }

  void AddSteps(const StepTotals& totals, double seconds) {
    Add("tokens_per_step", "tokens", totals.tokens / totals.steps);
    Add("step_mean", "ms", totals.busy_s() / totals.steps * 1e3);
    // Of which the workers computed; the rest is control, or waiting for users.
    Add("computing", "s", totals.compute_s, seconds, "the window");
    if (totals.bound_s() <= 0) return;
    const auto held = [&](const char* name, double time, double bound) {
      if (time > 0) Add(name, "s", bound, time, "the time they took");
    };
    held("bound_decode_steps", totals.decode_only_s, totals.decode_bound_s);
    held("bound_prefill_steps", totals.prefill_s, totals.prefill_bound_s);
  }

  void AddPrefix(const PrefixUse& use) {
    group_ = absl::StrCat("prefix ", use.shared_tokens);
    Add("first_token", "ms", use.first_s * 1e3);
    Add("first_token_again", "ms", use.second_s * 1e3,
        kPrefixGoal * use.first_s * 1e3, "a tenth of the first");
    Add("again_of_first", "x", use.second_s / use.first_s);
    Add("cached", "tokens", static_cast<double>(use.cached_tokens),
        static_cast<double>(use.shared_tokens), "those shared");
  }

  void AddNotes() {
    if (context_.model == nullptr) {
      report_.notes.push_back(
          "a server elsewhere does not show its steps: no bounds");
    }
    for (const ServedLoad& load : all_.loads) {
      if (!load.before.has_value() || !load.after.has_value()) continue;
      const double before = load.before->matvec_gb_per_s;
      const double after = load.after->matvec_gb_per_s;
      if (std::abs(before - after) < 0.15 * std::max(before, after)) continue;
      report_.notes.push_back(absl::StrFormat(
          "%s: the matvec rate was %.1f GB/s before and %.1f after: something "
          "else used this machine",
          NameOf(load.shape), before, after));
    }
    if (all_.cpu_pressure > 0.1) {
      report_.notes.push_back(absl::StrFormat(
          "threads waited for a CPU %.0f %% of the time: the machine was busy "
          "or has fewer CPUs than threads",
          100 * all_.cpu_pressure));
    }
  }

  const ServingMeasurements& all_;
  const ServingContext& context_;
  double alone_ = 0;  // output tokens per second at concurrency 1
  BenchReport report_;
  std::string group_;
};

}  // namespace

StepTotals TotalsOf(const std::vector<ServedStep>& steps,
                    SteadyClock::time_point begin, SteadyClock::time_point end,
                    const ServingContext& context, const MachineRates& rates) {
  StepTotals totals;
  for (const ServedStep& step : steps) {
    const double share = ShareInside(step, begin, end);
    if (share == 0) continue;
    const double seconds = share * Seconds(step.end - step.begin);
    const double bound = share * LeastSeconds(step, context, rates);
    totals.steps += share;
    totals.tokens += share * static_cast<double>(step.tokens());
    totals.compute_s += share * step.compute_s;
    (step.only_decodes() ? totals.decode_only_s : totals.prefill_s) += seconds;
    (step.only_decodes() ? totals.decode_bound_s : totals.prefill_bound_s) +=
        bound;
  }
  return totals;
}

BenchReport SummarizeServing(const ServingMeasurements& all,
                             const ServingContext& context) {
  return ServingSummary(all, context).Make();
}

}  // namespace facet
