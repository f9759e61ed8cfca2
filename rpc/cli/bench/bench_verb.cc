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
#include "rpc/cli/bench/summarize.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/verb.h"
#include "runtime/checkpoint/synthetic.h"

namespace facet {
namespace {

struct BenchFlags {
  ModelFlags model;
  std::string synthetic;  // PRESET or PRESET:DIR
  std::vector<std::string> only;
  bool json = false;
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
    {"collectives", &BenchGroups::collectives},
    {"memory", &BenchGroups::memory},
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
  groups.limits |=
      groups.load || groups.decode || groups.prefill || groups.concurrency;
  return groups;
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
absl::StatusOr<std::string> SyntheticDirectory(const std::string& flag) {
  namespace fs = std::filesystem;
  const size_t colon = flag.find(':');
  const std::string preset = flag.substr(0, colon);
  if (!absl::c_any_of(SyntheticPresets(), [&](const SyntheticPreset& known) {
        return preset == known.name;
      })) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--synthetic: \"", preset, "\", expected one of ", PresetList()));
  }
  const fs::path directory = colon == std::string::npos
                                 ? DefaultSyntheticRoot() / preset
                                 : fs::path(flag.substr(colon + 1));
  std::error_code error;
  if (fs::exists(directory / "config.json", error)) return directory.string();

  Say(absl::StrCat("writing ", preset, " to ", directory.string()));
  const std::string partial = directory.string() + ".facet-partial";
  fs::remove_all(partial, error);
  FACET_RETURN_IF_ERROR(
      Annotate(WriteSynthetic(preset, partial, nullptr), "--synthetic"));
  fs::rename(partial, directory, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--synthetic: cannot put a checkpoint at ",
                     directory.string(), ": ", error.message()));
  }
  return directory.string();
}

void AddSetting(const BenchOptions& options, BenchReport* report) {
  const ClusterOptions& cluster = options.cluster;
  const ParallelismOptions& plan = cluster.parallelism;
  report->setting = {
      {"date", absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::Now(),
                                absl::UTCTimeZone())},
      {"model", cluster.model_directory},
      {"cpu", CpuName()},
      {"cpus", absl::StrCat(AvailableCpus().size())},
      {"isa", Name(ActiveIsa())},
      {"workers",
       absl::StrCat(plan.tp_size * plan.pp_size, " (tp ", plan.tp_size, ", pp ",
                    plan.pp_size, ", ep ", plan.ep_size, ")")},
      {"threads", absl::StrCat(ThreadsInUse(options), " in all")},
      {"activations",
       cluster.numerics.activations == Activations::kF32 ? "f32" : "bf16"},
      {"kv_format",
       cluster.numerics.kv_format == KvFormat::kF32 ? "f32" : "bf16"},
      {"repeat", absl::StrCat(options.repeat)},
  };
}

absl::Status Bench(BenchFlags flags, BenchOptions options) {
  if (flags.model.model.empty() == flags.synthetic.empty()) {
    return absl::InvalidArgumentError(
        "give either --model=DIR or --synthetic=PRESET");
  }
  FACET_RETURN_IF_ERROR(ActiveIsaStatus().status());
  FACET_ASSIGN_OR_RETURN(options.groups, ParseGroups(flags.only));
  if (!flags.synthetic.empty()) {
    FACET_ASSIGN_OR_RETURN(flags.model.model,
                           SyntheticDirectory(flags.synthetic));
  }
  FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(flags.model));
  FACET_ASSIGN_OR_RETURN(const ModelConfig model,
                         ReadModelConfig(flags.model.model));
  options.progress = Say;
  FACET_ASSIGN_OR_RETURN(const Measurements all, Measure(options, model));

  SummaryContext context;
  context.model = &model;
  context.bf16_dot =
      options.cluster.numerics.activations == Activations::kBF16 &&
      MatmulUsesBf16DotProduct();
  BenchReport report = Summarize(all, context);
  AddSetting(options, &report);
  std::fputs(flags.json ? absl::StrCat(ToJson(report), "\n").c_str()
                        : ToTable(report).c_str(),
             stdout);
  return absl::OkStatus();
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
      "  facet bench --synthetic=moe-2b --compare-workers --json\n");
  AddModelFlags(app.get(), &flags.model, /*required=*/false);
  app->add_option("--synthetic", flags.synthetic,
                  absl::StrCat("PRESET[:DIR] of random weights instead of "
                               "--model, written once: ",
                               PresetList()));
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
  app->add_option("--repeat", options.repeat, "Repetitions of each figure")
      ->capture_default_str();
  app->add_flag("--cold", options.cold,
                "Drop the model from the page cache before each load");
  app->add_flag("--compare-workers", options.compare_workers,
                "Also one worker of all threads against as many "
                "tensor-parallel workers of one thread, turn about");
  app->add_flag("--json", flags.json, "One JSON object instead of a table");
  return RunVerb(app.get(), argc, argv, [&] {
    options.enlarge_kv = app->count("--kv-memory") == 0;
    return Bench(std::move(flags), std::move(options));
  });
}

}  // namespace facet
