#include "rpc/cli/bench/bench_verb.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "kernels/matmul/matmul.h"
#include "rpc/cli/bench/machine_info.h"
#include "rpc/cli/bench/measure.h"
#include "rpc/cli/bench/profile_view.h"
#include "rpc/cli/bench/serving/measure_serving.h"
#include "rpc/cli/bench/serving/summarize_serving.h"
#include "rpc/cli/bench/summarize.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/verb.h"
#include "runtime/checkpoint/synthetic.h"

namespace facet {
namespace {

struct BenchFlags {
  ModelFlags model;
  std::string synthetic;  // PRESET or PRESET:DIR
  bool drawn = false;
  std::vector<std::string> only;
  bool json = false;
  bool profile = false;
  bool serving = false;
  ServingOptions serve;
};

struct NamedGroup {
  const char* name;
  bool BenchGroups::*wanted;
};
constexpr NamedGroup kGroups[] = {
    {"load", &BenchGroups::load},
    {"limits", &BenchGroups::limits},
    {"decode", &BenchGroups::decode},
    {"prefill", &BenchGroups::prefill},
    {"concurrency", &BenchGroups::concurrency},
    {"context", &BenchGroups::context},
    {"collectives", &BenchGroups::collectives},
    {"memory", &BenchGroups::memory},
    {"busy", &BenchGroups::busy},
};

std::string GroupNames() {
  return absl::StrJoin(kGroups, ",", [](std::string* out, const NamedGroup& g) {
    absl::StrAppend(out, g.name);
  });
}

// Fractions need limits: those are taken along unless the list is of things
// that have none.
absl::StatusOr<BenchGroups> ParseGroups(const std::vector<std::string>& only) {
  BenchGroups groups;
  if (only.empty()) return groups;
  for (const NamedGroup& group : kGroups) groups.*group.wanted = false;
  for (const std::string& name : only) {
    bool known = false;
    for (const NamedGroup& group : kGroups) {
      if (name != group.name) continue;
      groups.*group.wanted = known = true;
    }
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--only: \"", name, "\", expected some of ", GroupNames()));
    }
  }
  groups.limits |= groups.load || groups.decode || groups.prefill ||
                   groups.concurrency || groups.context;
  return groups;
}

// Limits are the processors', and so is attention behind a long context.
absl::Status LeaveOutProcessors(const BenchFlags& flags, BenchGroups* groups) {
  if (flags.model.device == "cpu") return absl::OkStatus();
  for (const char* name : {"limits", "context"}) {
    if (absl::c_linear_search(flags.only, name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--only=", name, ": is measured with --device=cpu alone"));
    }
  }
  groups->limits = groups->context = false;
  return absl::OkStatus();
}

std::filesystem::path DefaultSyntheticRoot() {
  for (const auto& [variable, below] :
       {std::pair("TMPDIR", "facet-synthetic"),
        std::pair("HOME", ".cache/facet/synthetic")}) {
    const char* root = std::getenv(variable);
    if (root != nullptr && *root != '\0') {
      return std::filesystem::path(root) / below;
    }
  }
  return std::filesystem::temp_directory_path() / "facet-synthetic";
}

void Say(const std::string& what) {
  std::fprintf(stderr, "facet bench: %s\n", what.c_str());
}

std::string PresetList() {
  return absl::StrJoin(SyntheticPresets(), ", ",
                       [](std::string* out, const SyntheticPreset& preset) {
                         absl::StrAppend(out, preset.name);
                       });
}

// The directory of the checkpoint, written if it is not there yet. It gets its
// name when it is whole, so that what an interrupted run left is never taken
// for a checkpoint.
absl::StatusOr<std::string> SyntheticDirectory(const std::string& flag,
                                               bool drawn) {
  namespace fs = std::filesystem;
  const size_t colon = flag.find(':');
  const std::string preset = flag.substr(0, colon);
  if (!absl::c_any_of(SyntheticPresets(), [&](const SyntheticPreset& known) {
        return preset == known.name;
      })) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--synthetic: \"", preset, "\", expected one of ", PresetList()));
  }
  const fs::path directory =
      colon == std::string::npos
          ? DefaultSyntheticRoot() / (drawn ? preset + "-drawn" : preset)
          : fs::path(flag.substr(colon + 1));
  std::error_code error;
  if (fs::exists(directory / "config.json", error)) return directory.string();

  Say(absl::StrCat("writing ", preset, " to ", directory.string()));
  const std::string partial = directory.string() + ".facet-partial";
  fs::remove_all(partial, error);
  const SyntheticWeights weights =
      drawn ? SyntheticWeights::kDrawn : SyntheticWeights::kWritten;
  FACET_RETURN_IF_ERROR(Annotate(
      WriteSynthetic(preset, partial, weights, nullptr), "--synthetic"));
  fs::rename(partial, directory, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--synthetic: cannot put a checkpoint at ",
                     directory.string(), ": ", error.message()));
  }
  return directory.string();
}

std::string Date() {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::Now(),
                          absl::UTCTimeZone());
}

void AddSetting(const BenchOptions& options, BenchReport* report) {
  const ClusterOptions& cluster = options.cluster;
  const ParallelismOptions& plan = cluster.parallelism;
  report->setting = {
      {"date", Date()},
      {"model", cluster.model_directory},
      {"device", cluster.device},
      {"cpu", CpuName()},
      {"cpus", absl::StrCat(AvailableCpus().size())},
      {"isa", Name(ActiveIsa())},
      {"workers",
       absl::StrCat(plan.tp_size * plan.pp_size, " (tp ", plan.tp_size, ", pp ",
                    plan.pp_size, ", ep ", plan.ep_size, ")")},
      {"threads", absl::StrCat(ThreadsInUse(options), " in all")},
      {"numerics", cluster.numerics.fast ? "fast" : "exact"},
      {"activations",
       cluster.numerics.activations == Activations::kF32 ? "f32" : "bf16"},
      {"kv_format",
       cluster.numerics.kv_format == KvFormat::kF32 ? "f32" : "bf16"},
  };
}

void Print(const BenchReport& report, bool json) {
  std::fputs(json ? absl::StrCat(ToJson(report), "\n").c_str()
                  : ToTable(report).c_str(),
             stdout);
}

int KvBytesPerElement(const BenchOptions& options) {
  return options.cluster.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
}

bool UsesBf16Dot(const BenchOptions& options) {
  return options.cluster.numerics.activations == Activations::kBF16 &&
         MatmulUsesBf16DotProduct();
}

absl::Status BenchSteps(const BenchFlags& flags, const BenchOptions& options,
                        const ModelConfig& model) {
  FACET_ASSIGN_OR_RETURN(const Measurements all, Measure(options, model));
  SummaryContext context;
  context.model = &model;
  context.bf16_dot = UsesBf16Dot(options);
  context.kv_bytes_per_element = KvBytesPerElement(options);
  BenchReport report = Summarize(all, context);
  AddSetting(options, &report);
  report.setting.emplace_back("repeat", absl::StrCat(options.repeat));
  Print(report, flags.json);
  return absl::OkStatus();
}

absl::Status BenchProfile(const BenchFlags& flags, const BenchOptions& options,
                          const ModelConfig& model) {
  FACET_ASSIGN_OR_RETURN(const std::vector<PhaseProfile> phases,
                         MeasureProfile(options, model));
  BenchReport report;
  AddSetting(options, &report);
  std::fputs((flags.json ? ProfileJson(report.setting, phases) + "\n"
                         : ProfileTable(report.setting, phases))
                 .c_str(),
             stdout);
  return absl::OkStatus();
}

void AddServingSetting(const ServingOptions& options, BenchReport* report) {
  report->setting.emplace_back(
      "lengths",
      absl::StrCat("scale ", options.length_scale, ", seed ", options.seed));
  report->setting.emplace_back("window", absl::StrCat(options.seconds, " s"));
}

absl::Status BenchServing(const BenchFlags& flags, const BenchOptions& options,
                          const ModelConfig& model) {
  ServingOptions serve = flags.serve;
  serve.cluster = options.cluster;
  serve.threads = ThreadsInUse(options);
  serve.enlarge_kv = options.enlarge_kv;
  FACET_ASSIGN_OR_RETURN(const ServingMeasurements all,
                         MeasureServing(serve, &model));
  ServingContext context;
  context.model = &model;
  context.bf16_dot = UsesBf16Dot(options);
  context.kv_bytes_per_element = KvBytesPerElement(options);
  BenchReport report = SummarizeServing(all, context);
  AddSetting(options, &report);
  AddServingSetting(serve, &report);
  Print(report, flags.json);
  return absl::OkStatus();
}

absl::Status BenchServer(const BenchFlags& flags) {
  if (!flags.serving) {
    return absl::InvalidArgumentError("--server: goes with --serving alone");
  }
  if (!flags.model.model.empty() || !flags.synthetic.empty()) {
    return absl::InvalidArgumentError(
        "--server: has a model of its own, give no --model and no --synthetic");
  }
  FACET_ASSIGN_OR_RETURN(const ServingMeasurements all,
                         MeasureServing(flags.serve, nullptr));
  BenchReport report = SummarizeServing(all, ServingContext());
  report.setting = {{"date", Date()}, {"server", flags.serve.server}};
  AddServingSetting(flags.serve, &report);
  Print(report, flags.json);
  return absl::OkStatus();
}

absl::Status Bench(BenchFlags flags, BenchOptions options) {
  options.progress = flags.serve.progress = Say;
  if (!flags.serve.server.empty()) return BenchServer(flags);
  if (flags.model.model.empty() == flags.synthetic.empty()) {
    return absl::InvalidArgumentError(
        "give either --model=DIR or --synthetic=PRESET");
  }
  if (flags.serving && flags.profile) {
    return absl::InvalidArgumentError("--profile: goes without --serving");
  }
  if ((flags.serving || flags.profile) && !flags.only.empty()) {
    return absl::InvalidArgumentError(
        "--only: goes without --serving and --profile");
  }
  FACET_RETURN_IF_ERROR(ActiveIsaStatus().status());
  FACET_ASSIGN_OR_RETURN(options.groups, ParseGroups(flags.only));
  FACET_RETURN_IF_ERROR(LeaveOutProcessors(flags, &options.groups));
  if (!flags.synthetic.empty()) {
    FACET_ASSIGN_OR_RETURN(flags.model.model,
                           SyntheticDirectory(flags.synthetic, flags.drawn));
  } else if (flags.drawn) {
    return absl::InvalidArgumentError("--drawn: goes with --synthetic alone");
  }
  FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(flags.model));
  FACET_ASSIGN_OR_RETURN(const ModelConfig model,
                         ReadModelConfig(flags.model.model));
  if (flags.profile) return BenchProfile(flags, options, model);
  return flags.serving ? BenchServing(flags, options, model)
                       : BenchSteps(flags, options, model);
}

void AddServingFlags(CLI::App* app, BenchFlags* flags) {
  const std::string group = "Serving";
  ServingOptions* const serve = &flags->serve;
  app->add_flag("--serving", flags->serving,
                "Load on the whole way from requests to tokens instead")
      ->group(group);
  app->add_option("--server", serve->server,
                  "HOST:PORT of a server to load instead of one started here")
      ->group(group);
  app->add_option("--concurrency", serve->concurrency,
                  "Requests at a time, one closed loop for each")
      ->delimiter(',')
      ->capture_default_str()
      ->group(group);
  app->add_option("--rate", serve->rates,
                  "Poisson arrivals a second, one open loop for each; default: "
                  "half of what the closed loops come to")
      ->delimiter(',')
      ->group(group);
  app->add_option("--seconds", serve->seconds, "Of each loop, once in swing")
      ->capture_default_str()
      ->group(group);
  app->add_option("--length-scale", serve->length_scale,
                  "Multiplies all lengths; 1: prompts of 212 tokens and "
                  "answers of 203 on average")
      ->capture_default_str()
      ->group(group);
  app->add_option("--seed", serve->seed, "Of lengths, prompts and arrivals")
      ->capture_default_str()
      ->group(group);
  app->add_option("--shared-prompt", serve->shared_prompt,
                  "Tokens of a prompt that is used twice; 0: none is")
      ->capture_default_str()
      ->group(group);
}

}  // namespace

int RunBench(int argc, char** argv) {
  BenchFlags flags;
  BenchOptions options;
  const auto app = MakeApp(
      "bench",
      "Measures a model on this machine: every figure as a median and as a "
      "fraction of a limit that the same run measures.",
      "  facet bench --model DIR\n"
      "  facet bench --synthetic=dense-1b --workers=2 --only=decode,prefill\n"
      "  facet bench --synthetic=moe-2b --compare-workers --json\n"
      "  facet bench --synthetic=moe-2b --profile --batch=1,8\n"
      "  facet bench --synthetic=31b --drawn --device=cuda --only=decode\n"
      "  facet bench --synthetic=dense-1b --serving --concurrency=1,8,32\n");
  AddModelFlags(app.get(), &flags.model, /*required=*/false);
  app->add_option("--synthetic", flags.synthetic,
                  absl::StrCat("PRESET[:DIR] of random weights instead of "
                               "--model, written once: ",
                               PresetList()));
  app->add_flag("--drawn", flags.drawn,
                "With --synthetic: write no weights, draw them where they are "
                "computed with, on a GPU itself");
  app->add_option("--only", flags.only,
                  absl::StrCat("Some of ", GroupNames(), "; default: all"))
      ->delimiter(',');
  app->add_option("--prompt", options.prompts,
                  "Prompt tokens, one prefill figure for each; decode goes on "
                  "from the first")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--decode", options.decode,
                  "Decode steps of a repetition; a quarter of them above one "
                  "sequence")
      ->capture_default_str();
  app->add_option("--batch", options.batches,
                  "Sequences that decode side by side, one figure for each")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--batch-prompt", options.batch_prompt,
                  "Prompt tokens of each of several sequences")
      ->capture_default_str();
  app->add_option("--context", options.context,
                  "Tokens behind which attention of one token is measured")
      ->capture_default_str();
  app->add_option("--repeat", options.repeat, "Repetitions of each figure")
      ->capture_default_str();
  app->add_flag("--cold", options.cold,
                "Drop the model from the page cache before each load");
  app->add_flag("--compare-workers", options.compare_workers,
                "Also one worker of all threads against as many "
                "tensor-parallel workers of one thread, turn about");
  app->add_flag("--profile", flags.profile,
                "Instead: time, bytes and share of every operation of a decode "
                "step and of a prompt, on one worker");
  app->add_flag(
      "--compare-pipeline", options.compare_pipeline,
      "Also one worker of all threads against a pipeline of as many "
      "workers of one thread, for each --batch it divides, turn about");
  app->add_flag("--json", flags.json, "One JSON object instead of a table");
  AddServingFlags(app.get(), &flags);
  return RunVerb(app.get(), argc, argv, [&] {
    options.enlarge_kv = app->count("--kv-memory") == 0;
    return Bench(std::move(flags), std::move(options));
  });
}

}  // namespace facet
