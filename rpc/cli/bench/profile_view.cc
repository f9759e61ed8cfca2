#include "rpc/cli/bench/profile_view.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/bench_cluster.h"
#include "rpc/cli/bench/checkpoint_pages.h"

namespace facet {
namespace {

LimitSample MeanOf(const LimitSample& a, const LimitSample& b) {
  return {(a.matvec_gb_per_s + b.matvec_gb_per_s) / 2,
          (a.fma_gflop_per_s + b.fma_gflop_per_s) / 2,
          (a.bf16_dot_gflop_per_s + b.bf16_dot_gflop_per_s) / 2};
}

// Every step gathers the rows of its tokens once.
constexpr char kOncePerStep[] = "embedding";

int64_t Steps(const std::vector<OperationProfile>& operations) {
  for (const OperationProfile& operation : operations) {
    if (operation.use == kOncePerStep) return operation.calls;
  }
  return 0;
}

// What is left of the steps: sampling, plans, pages.
OperationProfile Rest(const PhaseProfile& phase) {
  OperationProfile rest;
  rest.use = "rest: sampling, plan";
  rest.calls = phase.steps;
  rest.seconds = phase.compute_s;
  for (const OperationProfile& operation : phase.operations) {
    rest.seconds -= operation.seconds;
  }
  rest.seconds = std::max(0.0, rest.seconds);
  return rest;
}

OperationProfile Sum(const PhaseProfile& phase) {
  OperationProfile sum;
  sum.use = "all";
  sum.calls = phase.steps;
  sum.seconds = phase.compute_s;
  for (const OperationProfile& operation : phase.operations) {
    sum.bytes += operation.bytes;
    sum.flops += operation.flops;
  }
  return sum;
}

std::vector<OperationProfile> Lines(const PhaseProfile& phase) {
  std::vector<OperationProfile> lines = phase.operations;
  lines.push_back(Rest(phase));
  std::stable_sort(lines.begin(), lines.end(),
                   [](const OperationProfile& a, const OperationProfile& b) {
                     return a.seconds > b.seconds;
                   });
  lines.push_back(Sum(phase));
  return lines;
}

double Fraction(const OperationProfile& operation, const LimitSample& limits) {
  if (operation.seconds <= 0) return 0;
  return BoundSeconds(operation.bytes, operation.flops, limits) /
         operation.seconds;
}

}  // namespace

double BoundSeconds(double bytes, double flops, const LimitSample& limits) {
  if (limits.matvec_gb_per_s <= 0 || limits.fma_gflop_per_s <= 0) return 0;
  return std::max(bytes / limits.matvec_gb_per_s,
                  flops / limits.fma_gflop_per_s) /
         1e9;
}

absl::StatusOr<std::vector<PhaseProfile>> MeasureProfile(
    const BenchOptions& options, const ModelConfig& model) {
  FACET_RETURN_IF_ERROR(CheckBenchOptions(options));
  const auto say = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  Profile profile;
  ClusterOptions cluster_options = WithRoom(options, model);
  cluster_options.profile = &profile;
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<BenchCluster> cluster,
                         BenchCluster::Start(cluster_options));
  if (cluster->plan().world_size() > 1) {
    return absl::FailedPreconditionError(
        "--profile: looks at one worker, give no --workers, --tp or --pp");
  }
  FACET_RETURN_IF_ERROR(cluster->WarmUp());
  FACET_ASSIGN_OR_RETURN(
      const std::unique_ptr<LimitMeter> meter,
      LimitMeter::Open(cluster_options.model_directory, ThreadsInUse(options)));
  const int matvec_rows = meter->Measure(1).matvec_rows;

  std::vector<PhaseProfile> phases;
  for (int batch : options.batches) {
    PhaseProfile& phase = phases.emplace_back();
    phase.name = absl::StrCat("decode, ", batch,
                              batch == 1 ? " sequence" : " sequences");
    say(phase.name);
    DecodeShape shape = DecodeShapeOf(options, batch);
    shape.steps *= shape.repeat;
    shape.repeat = 1;
    // Called before the steps that count and after them.
    LimitSample first, last;
    const auto sample = [&] {
      if (phase.operations.empty()) phase.operations = profile.operations();
      first = last;
      last = meter->Sample(matvec_rows);
      // What the limits' loops did is over; the steps begin.
      if (phase.steps++ == 0) {
        phase.operations.clear();
        profile.Clear();
      }
      return last;
    };
    DecodeRuns runs;
    FACET_RETURN_IF_ERROR(cluster->Decode(shape, sample, &runs));
    phase.steps = Steps(phase.operations);
    phase.limits = MeanOf(first, last);
    // The step that a break is lost to has no time of its own.
    double compute = 0;
    for (size_t i = 0; i < runs.step_s.size(); ++i) {
      compute += runs.step_s[i] - runs.control_s[i];
    }
    phase.compute_s = compute * static_cast<double>(phase.steps) /
                      static_cast<double>(runs.step_s.size());
  }
  for (int tokens : options.prompts) {
    PhaseProfile& phase = phases.emplace_back();
    phase.name = absl::StrCat("prefill, ", tokens, " tokens");
    say(phase.name);
    const LimitSample first = meter->Sample(matvec_rows);
    profile.Clear();
    for (int r = 0; r < options.repeat; ++r) {
      FACET_ASSIGN_OR_RETURN(const std::vector<StepTiming> steps,
                             cluster->RunPrompt(tokens));
      for (const StepTiming& step : steps) phase.compute_s += step.compute_s;
    }
    phase.operations = profile.operations();
    phase.steps = Steps(phase.operations);
    phase.limits = MeanOf(first, meter->Sample(matvec_rows));
  }
  FACET_RETURN_IF_ERROR(cluster->Shutdown());
  return phases;
}

std::string ProfileTable(const Setting& setting,
                         const std::vector<PhaseProfile>& phases) {
  std::string text;
  for (const auto& [name, value] : setting) {
    absl::StrAppendFormat(&text, "%-14s %s\n", name, value);
  }
  for (const PhaseProfile& phase : phases) {
    const double steps = static_cast<double>(std::max<int64_t>(1, phase.steps));
    absl::StrAppendFormat(
        &text,
        "\n%s: %d steps of %.2f ms; limits %.1f GB/s, %.0f GFLOP/s\n"
        "%-38s %7s %10s %7s %9s %8s %9s %8s\n",
        phase.name, phase.steps, phase.compute_s / steps * 1e3,
        phase.limits.matvec_gb_per_s, phase.limits.fma_gflop_per_s, "operation",
        "calls", "us a step", "share", "MB", "GB/s", "GFLOP/s", "of limit");
    for (const OperationProfile& line : Lines(phase)) {
      const double seconds = std::max(line.seconds, 1e-12);
      absl::StrAppendFormat(
          &text, "%-38s %7.1f %10.1f %5.1f %% %9.2f %8.2f %9.2f", line.use,
          static_cast<double>(line.calls) / steps, line.seconds / steps * 1e6,
          100 * line.seconds / std::max(phase.compute_s, 1e-12),
          line.bytes / steps / 1e6, line.bytes / seconds / 1e9,
          line.flops / seconds / 1e9);
      const double fraction = Fraction(line, phase.limits);
      absl::StrAppend(
          &text,
          fraction > 0 ? absl::StrFormat(" %6.1f %%\n", 100 * fraction) : "\n");
    }
  }
  return text;
}

std::string ProfileJson(const Setting& setting,
                        const std::vector<PhaseProfile>& phases) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : setting) json["setting"][name] = value;
  json["phases"] = nlohmann::ordered_json::array();
  for (const PhaseProfile& phase : phases) {
    const double steps = static_cast<double>(std::max<int64_t>(1, phase.steps));
    nlohmann::ordered_json entry = {
        {"name", phase.name},
        {"steps", phase.steps},
        {"seconds_per_step", phase.compute_s / steps},
        {"matvec_gb_per_s", phase.limits.matvec_gb_per_s},
        {"fma_gflop_per_s", phase.limits.fma_gflop_per_s},
        {"operations", nlohmann::ordered_json::array()},
    };
    for (const OperationProfile& line : Lines(phase)) {
      entry["operations"].push_back({
          {"use", line.use},
          {"calls_per_step", static_cast<double>(line.calls) / steps},
          {"seconds_per_step", line.seconds / steps},
          {"bytes_per_step", line.bytes / steps},
          {"flops_per_step", line.flops / steps},
          {"fraction", Fraction(line, phase.limits)},
      });
    }
    json["phases"].push_back(std::move(entry));
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace facet
