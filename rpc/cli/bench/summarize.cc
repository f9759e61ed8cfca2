#include "rpc/cli/bench/summarize.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

constexpr int64_t kFixedBytes = 150'000'000;

// The denominators; 0 where limits were not measured.
struct Limits {
  double read = 0;    // GB/s
  double matvec = 0;  // GB/s
  double peak = 0;    // GFLOP/s
};

Limits MeanLimits(const Measurements& all, bool bf16_dot) {
  Limits limits;
  int count = 0;
  for (const auto* side : {&all.before, &all.after}) {
    if (!side->has_value()) continue;
    ++count;
    limits.read += (*side)->read_gb_per_s.median;
    limits.matvec += (*side)->matvec_gb_per_s.median;
    limits.peak += bf16_dot ? (*side)->bf16_dot_gflop_per_s.median
                            : (*side)->fma_gflop_per_s.median;
  }
  if (count > 0) {
    limits.read /= count;
    limits.matvec /= count;
    limits.peak /= count;
  }
  return limits;
}

Rate Scaled(const Rate& rate, double factor) {
  return {rate.median * factor, rate.min * factor, rate.max * factor};
}

void AppendMatvec(const std::vector<LimitSample>& samples,
                  std::vector<double>* rates) {
  for (const LimitSample& sample : samples) {
    rates->push_back(sample.matvec_gb_per_s);
  }
}

class Summary {
 public:
  Summary(const Measurements& all, const SummaryContext& context)
      : all_(all),
        model_(*context.model),
        kv_bytes_per_element_(context.kv_bytes_per_element),
        limits_(MeanLimits(all, context.bf16_dot)),
        matvec_{&LimitSample::matvec_gb_per_s, limits_.matvec, "matvec rate"},
        peak_{context.bf16_dot ? &LimitSample::bf16_dot_gflop_per_s
                               : &LimitSample::fma_gflop_per_s,
              limits_.peak,
              context.bf16_dot ? "bf16 dot-product peak" : "f32 FMA peak"} {}

  BenchReport Make() {
    if (all_.load.has_value()) AddLoad(*all_.load);
    if (all_.before.has_value()) AddLimits("limits before", *all_.before);
    if (all_.after.has_value()) AddLimits("limits after", *all_.after);
    for (const DecodeRuns& runs : all_.decode) AddDecode(runs);
    for (const PrefillRuns& runs : all_.prefill) AddPrefill(runs);
    if (all_.long_context.has_value()) AddLongContext(*all_.long_context);
    if (all_.comparison.has_value()) AddComparison(*all_.comparison);
    if (all_.pipeline.has_value()) AddPipeline(*all_.pipeline);
    if (all_.all_reduce.has_value()) AddAllReduce(*all_.all_reduce);
    if (all_.memory.has_value()) AddMemory(*all_.memory);
    if (all_.busy.has_value()) AddBusy(*all_.busy);
    AddNotes();
    return std::move(report_);
  }

 private:
  void Add(const std::string& name, const std::string& unit, const Rate& value,
           double limit = 0, const std::string& limit_name = "") {
    report_.figures.push_back({group_, name, unit, value, limit,
                               limit > 0 ? limit_name : "", Rate()});
  }

  // What repetitions are held against: a member of the samples around each,
  // or, where there are none, a rate of the whole run.
  struct SampledLimit {
    double LimitSample::*of;
    double of_run;
    const char* name;
  };

  // `tokens_per_s`, by repetition, times `factor`, held against the limit times
  // `limit_factor`.
  void AddSampled(const std::string& name, const std::string& unit,
                  const std::vector<double>& tokens_per_s, double factor,
                  const std::vector<LimitSample>& samples,
                  const SampledLimit& limit, double limit_factor,
                  const std::string& limit_name) {
    std::vector<double> limits, ratios;
    for (size_t i = 0; i < tokens_per_s.size() && i + 1 < samples.size(); ++i) {
      const double around =
          (samples[i].*limit.of + samples[i + 1].*limit.of) / 2;
      limits.push_back(around * limit_factor);
      ratios.push_back(tokens_per_s[i] * factor / limits.back());
    }
    const double median =
        limits.empty() ? limit.of_run * limit_factor : Summarize(limits).median;
    Add(name, unit, Scaled(Summarize(tokens_per_s), factor), median,
        limit_name);
    if (!ratios.empty()) report_.figures.back().ratio = Summarize(ratios);
  }

  void AddLoad(const LoadRuns& runs) {
    group_ = "load";
    const double gigabytes = runs.cache.bytes / 1e9;
    double limit = limits_.read > 0 ? gigabytes / limits_.read : 0;
    std::string limit_name = "one pass at the read rate";
    if (!runs.disk_read_s.empty()) {
      limit = Summarize(runs.disk_read_s).median;
      limit_name = "reading the files";
      Add("read_files", "s", Summarize(runs.disk_read_s));
    }
    Add("ready", "s", Summarize(runs.ready_s), limit, limit_name);
    Add("first_token", "s", Summarize(runs.first_token_s), limit, limit_name);
    std::vector<double> rates;
    for (double seconds : runs.ready_s) rates.push_back(gigabytes / seconds);
    Add("weights_per_s", "GB/s", Summarize(rates),
        limit > 0 ? gigabytes / limit : 0,
        runs.disk_read_s.empty() ? "read rate" : "reading the files");
    report_.notes.push_back(absl::StrFormat(
        "load: %.0f %% of the weights were in the page cache before",
        100 * runs.cache.cached));
  }

  void AddLimits(const std::string& group, const MachineLimits& limits) {
    group_ = group;
    Add("read", "GB/s", limits.read_gb_per_s);
    Add("matvec", "GB/s", limits.matvec_gb_per_s);
    Add("f32_fma", "GFLOP/s", limits.fma_gflop_per_s);
    if (limits.bf16_dot_gflop_per_s.median > 0) {
      Add("bf16_dot", "GFLOP/s", limits.bf16_dot_gflop_per_s);
    }
  }

  void AddDecode(const DecodeRuns& runs) {
    group_ =
        runs.batch == 1 ? "decode" : absl::StrCat("concurrency ", runs.batch);
    SliceShape token;
    token.start = static_cast<int64_t>(runs.context);
    const std::vector<SliceShape> slices(runs.batch, token);
    const StepWork work = WorkOfStep(model_, slices, kv_bytes_per_element_);
    const double gb_per_token =
        (work.weight_bytes + work.kv_bytes) / 1e9 / runs.batch;
    AddSampled("tokens_per_s", "tokens/s", runs.tokens_per_s, 1, runs.limits,
               matvec_, 1 / gb_per_token,
               absl::StrFormat(
                   "matvec rate over %.3f GB of weights and %.3f of K/V a step",
                   work.weight_bytes / 1e9, work.kv_bytes / 1e9));
    AddSampled("bytes_per_s", "GB/s", runs.tokens_per_s, gb_per_token,
               runs.limits, matvec_, 1, matvec_.name);
    const double flops =
        DecodeFlops(model_, static_cast<int64_t>(runs.context));
    AddSampled("arithmetic", "GFLOP/s", runs.tokens_per_s, flops / 1e9,
               runs.limits, peak_, 1, peak_.name);
    const double step_p50 = Percentile(runs.step_s, 50);
    Add("step_p50", "ms", Once(step_p50 * 1e3));
    Add("step_p99", "ms", Once(Percentile(runs.step_s, 99) * 1e3));
    Add("control_p50", "us", Once(Percentile(runs.control_s, 50) * 1e6),
        step_p50 * 1e6, "step_p50");
    Add("control_p99", "us", Once(Percentile(runs.control_s, 99) * 1e6),
        step_p50 * 1e6, "step_p50");
  }

  void AddPrefill(const PrefillRuns& runs) {
    group_ = absl::StrCat("prefill ", runs.tokens);
    const double gflop = PrefillFlops(model_, runs.tokens) / runs.tokens / 1e9;
    AddSampled(
        "tokens_per_s", "tokens/s", runs.tokens_per_s, 1, runs.limits, peak_,
        1 / gflop,
        absl::StrFormat("%s over %.3f GFLOP a token", peak_.name, gflop));
    AddSampled("arithmetic", "GFLOP/s", runs.tokens_per_s, gflop, runs.limits,
               peak_, 1, peak_.name);
  }

  void AddLongContext(const LongContextRuns& runs) {
    group_ = absl::StrCat("context ", runs.context);
    const double gigabytes = runs.kv_bytes / 1e9;
    std::vector<double> per_s, milliseconds;
    for (double seconds : runs.attention_s) {
      per_s.push_back(1 / seconds);
      milliseconds.push_back(seconds * 1e3);
    }
    Add("attention", "ms", Summarize(milliseconds));
    AddSampled("bytes_per_s", "GB/s", per_s, gigabytes, runs.limits, matvec_, 1,
               absl::StrFormat("matvec rate, %.3f GB of K/V", gigabytes));
  }

  // Ratios of neighbours in time, so that what else the machine does weighs on
  // both alike.
  void AddRatio(const std::string& name, const std::vector<double>& one,
                const std::vector<double>& many,
                const std::string& of = "one worker with as many threads") {
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(one.size(), many.size()); ++i) {
      ratios.push_back(many[i] / one[i]);
    }
    Add(name, "x", Summarize(ratios), 1, of);
  }

  void AddComparison(const WorkerComparison& comparison) {
    const std::string many = absl::StrCat("_tp", comparison.workers);
    group_ = "workers";
    Add("decode_1", "tokens/s", Summarize(comparison.one_decode.tokens_per_s));
    Add("decode" + many, "tokens/s",
        Summarize(comparison.many_decode.tokens_per_s));
    AddRatio("decode_ratio", comparison.one_decode.tokens_per_s,
             comparison.many_decode.tokens_per_s);
    Add("prefill_1", "tokens/s",
        Summarize(comparison.one_prefill.tokens_per_s));
    Add("prefill" + many, "tokens/s",
        Summarize(comparison.many_prefill.tokens_per_s));
    AddRatio("prefill_ratio", comparison.one_prefill.tokens_per_s,
             comparison.many_prefill.tokens_per_s);
    const double step_p50 = Percentile(comparison.many_decode.step_s, 50);
    Add("control_p50" + many, "us",
        Once(Percentile(comparison.many_decode.control_s, 50) * 1e6),
        step_p50 * 1e6, "step_p50");
    Add("control_p99" + many, "us",
        Once(Percentile(comparison.many_decode.control_s, 99) * 1e6),
        step_p50 * 1e6, "step_p50");
  }

  void AddPipeline(const PipelineComparison& comparison) {
    group_ = "pipeline";
    const std::string many = absl::StrCat("_pp", comparison.workers);
    for (const PipelineComparison::Batch& runs : comparison.batches) {
      const std::string name = absl::StrCat("batch_", runs.one.batch);
      Add(name + "_1", "tokens/s", Summarize(runs.one.tokens_per_s));
      Add(name + many, "tokens/s", Summarize(runs.many.tokens_per_s));
      AddRatio(name + "_ratio", runs.one.tokens_per_s, runs.many.tokens_per_s);
    }
  }

  void AddBusy(const BusyRuns& runs) {
    group_ = "busy";
    Add("quiet", "tokens/s", Summarize(runs.quiet.tokens_per_s));
    Add(absl::StrCat("beside_", runs.processes), "tokens/s",
        Summarize(runs.busy.tokens_per_s));
    AddRatio("ratio", runs.quiet.tokens_per_s, runs.busy.tokens_per_s,
             "decode with nobody beside it");
    Add("step_p99", "ms", Once(Percentile(runs.busy.step_s, 99) * 1e3));
  }

  void AddAllReduce(const AllReduceRuns& runs) {
    group_ = "collectives";
    const std::string name = absl::StrCat("all_reduce_", runs.bytes, "B");
    Add(name + "_p50", "us", Once(runs.measured.p50_us), runs.bare.p50_us,
        "bare exchange");
    // The bare one's p99 is the scheduler's, no limit of anything.
    Add(name + "_p99", "us", Once(runs.measured.p99_us));
  }

  void AddMemory(const MemoryUse& use) {
    group_ = "memory";
    Add("pss", "MB", Once(use.pss_bytes / 1e6),
        (use.weight_bytes + use.kv_bytes) / 1e6,
        "weights and K/V pages in use");
    Add("anonymous", "MB", Once(use.anonymous_bytes / 1e6),
        (use.kv_bytes + kFixedBytes) / 1e6, "K/V pages in use and 150 MB");
    Add("weights", "MB", Once(use.weight_bytes / 1e6));
    Add("kv_in_use", "MB", Once(use.kv_bytes / 1e6));
  }

  void AddNotes() {
    std::vector<std::string>& notes = report_.notes;
    std::vector<double> rates;
    for (const auto* side : {&all_.before, &all_.after}) {
      if (side->has_value()) rates.push_back((*side)->matvec_gb_per_s.median);
    }
    for (const auto& runs : all_.decode) AppendMatvec(runs.limits, &rates);
    for (const auto& runs : all_.prefill) AppendMatvec(runs.limits, &rates);
    const Rate matvec = rates.empty() ? Rate() : Summarize(rates);
    if (matvec.max - matvec.min > 0.15 * matvec.max) {
      notes.push_back(absl::StrFormat(
          "the matvec rates of this run (%.1f to %.1f GB/s) differ by more "
          "than "
          "15 %%: something else used this machine; fractions are of the rates "
          "around each repetition, other figures are of little use",
          matvec.min, matvec.max));
    }
    if (all_.cpu_pressure > 0.1) {
      notes.push_back(absl::StrFormat(
          "threads waited for a CPU %.0f %% of the time: the machine was busy "
          "or has fewer CPUs than threads",
          100 * all_.cpu_pressure));
    }
    if (all_.before.has_value() &&
        all_.before->bytes < 8 * all_.largest_cache_bytes) {
      notes.push_back(
          "the weights nearly fit into the caches of this machine: memory "
          "rates and fractions of them mean little");
    }
  }

  const Measurements& all_;
  const ModelConfig& model_;
  const int kv_bytes_per_element_;
  const Limits limits_;
  const SampledLimit matvec_, peak_;
  BenchReport report_;
  std::string group_;
};

}  // namespace

BenchReport Summarize(const Measurements& all, const SummaryContext& context) {
  return Summary(all, context).Make();
}

}  // namespace facet
