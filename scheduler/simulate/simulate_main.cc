// `bazel run //scheduler:simulate -- FLAGS`: how a cluster would serve a load.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/config/model_config.h"
#include "scheduler/pages/pool_sizes.h"
#include "scheduler/simulate/generated_workload.h"
#include "scheduler/simulate/random_run.h"
#include "scheduler/simulate/simulation.h"
#include "scheduler/simulate/trace.h"

namespace facet {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitBadInput = 2;
// Of a machine's memory: the rest is for activations and buffers.
constexpr double kUsableMemory = 0.9;

struct Flags {
  std::string trace;
  WorkloadShape shape;
  double end_s = 0;

  std::string model = "e4b";
  std::string machine = "cpu-2core";
  std::string kv_format = "bf16";
  MachineFigures rates;  // 0: the machine's
  int stages = 1;

  SchedulerLimits limits;
  uint64_t kv_bytes = 0;  // of each stage
  int64_t most_waiting = 1 << 20;
  bool no_prefix_cache = false;
  bool json = false;

  bool check = false;
  int64_t runs = 1;
};

absl::StatusOr<ModelFigures> FindModel(const std::string& model,
                                       const std::string& kv_format) {
  if (kv_format != "f32" && kv_format != "bf16") {
    return absl::InvalidArgumentError(
        absl::StrCat("--kv-format: \"", kv_format, "\", expected f32 or bf16"));
  }
  ModelFigures figures;
  std::error_code error;
  if (std::filesystem::is_directory(model, error)) {
    FACET_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(model));
    figures = FiguresOf(config, 2);
    figures.name = model;
  } else {
    const absl::StatusOr<ModelFigures> preset = ModelPreset(model);
    if (!preset.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--model: ", preset.status().message(),
                       ", or a directory with a config.json"));
    }
    figures = *preset;
  }
  if (kv_format == "f32") {
    figures.sliding_token_bytes *= 2;
    figures.global_token_bytes *= 2;
  }
  return figures;
}

absl::StatusOr<MachineFigures> FindMachine(const Flags& flags) {
  absl::StatusOr<MachineFigures> machine = MachinePreset(flags.machine);
  if (!machine.ok()) return Annotate(machine.status(), "--machine");
  const auto replace = [](double given, double* figure) {
    if (given > 0) *figure = given;
  };
  replace(flags.rates.memory_bytes * 1e9, &machine->memory_bytes);
  replace(flags.rates.bytes_per_s * 1e9, &machine->bytes_per_s);
  replace(flags.rates.flops_per_s * 1e12, &machine->flops_per_s);
  replace(flags.rates.step_s * 1e-6, &machine->step_s);
  replace(flags.rates.slice_s * 1e-6, &machine->slice_s);
  replace(flags.rates.round_trip_s * 1e-6, &machine->round_trip_s);
  return machine;
}

// The pages that are not given.
absl::Status ChoosePools(const Flags& flags, const ModelFigures& model,
                         const MachineFigures& machine,
                         SchedulerLimits* limits) {
  if (limits->pools.sliding_pages > 0 && limits->pools.global_pages > 0) {
    return absl::OkStatus();
  }
  PoolBudget budget;
  budget.kv_bytes = static_cast<int64_t>(flags.kv_bytes);
  if (budget.kv_bytes == 0) {
    const double weights =
        (model.weight_bytes + model.expert_bytes * model.experts) /
        flags.stages;
    const double left = machine.memory_bytes * kUsableMemory - weights;
    if (left <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--stages: ", flags.stages, ", ", std::llround(weights / 1e9),
          " GB of weights a stage do not fit in ",
          std::llround(machine.memory_bytes / 1e9),
          " GB; give more stages or --memory"));
    }
    budget.kv_bytes = static_cast<int64_t>(left);
  }
  const int page_tokens = limits->pools.page_tokens;
  budget.by_rank = {
      {std::llround(
           std::ceil(page_tokens * model.sliding_token_bytes / flags.stages)),
       std::llround(
           std::ceil(page_tokens * model.global_token_bytes / flags.stages))}};
  budget.page_tokens = page_tokens;
  budget.sliding_window = model.sliding_window;
  budget.max_positions = limits->max_positions;
  budget.max_sequences = limits->max_sequences;
  budget.chunk_tokens = limits->max_step_tokens;
  FACET_ASSIGN_OR_RETURN(const KvPoolSizes pools, ChoosePoolSizes(budget));
  if (limits->pools.sliding_pages == 0) {
    limits->pools.sliding_pages = pools.sliding_pages;
  }
  if (limits->pools.global_pages == 0) {
    limits->pools.global_pages = pools.global_pages;
  }
  return absl::OkStatus();
}

absl::Status Run(Flags flags) {
  SimulationOptions options;
  FACET_ASSIGN_OR_RETURN(options.model,
                         FindModel(flags.model, flags.kv_format));
  FACET_ASSIGN_OR_RETURN(options.machine, FindMachine(flags));
  options.stages = flags.stages;
  options.seed = flags.shape.seed;
  options.most_waiting = flags.most_waiting;
  if (flags.end_s > 0) options.end_s = flags.end_s;

  SchedulerLimits& limits = options.limits;
  limits = flags.limits;
  limits.vocab_size = options.model.vocab_size;
  limits.sliding_window = options.model.sliding_window;
  if (limits.max_positions == 0) {
    limits.max_positions = options.model.max_positions;
  }
  if (limits.micro_batches == 0) limits.micro_batches = flags.stages;
  if (limits.max_unapplied == 0) limits.max_unapplied = flags.stages + 1;
  if (limits.max_unapplied > flags.stages + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ahead: ", limits.max_unapplied, " is out of range, ",
                     flags.stages, " stages take 1 to ", flags.stages + 1));
  }
  limits.prefix_cache = !flags.no_prefix_cache;
  FACET_RETURN_IF_ERROR(
      ChoosePools(flags, options.model, options.machine, &limits));

  if (flags.trace.empty()) {
    options.workload = GenerateWorkload(flags.shape);
  } else {
    FACET_ASSIGN_OR_RETURN(options.workload, ReadTrace(flags.trace));
  }
  FACET_ASSIGN_OR_RETURN(const SimulationReport report, Simulate(options));
  if (flags.json) {
    std::printf("%s\n", ToJson(report).c_str());
    return absl::OkStatus();
  }
  std::printf(
      "%s on %s, %d stage%s, up to %d sequences, %d tokens a step, pages of "
      "%d tokens\n\n%s",
      options.model.name.c_str(), options.machine.name.c_str(), flags.stages,
      flags.stages > 1 ? "s" : "", limits.max_sequences, limits.max_step_tokens,
      limits.pools.page_tokens, ToTable(report).c_str());
  return absl::OkStatus();
}

// Random runs from flags.shape.seed on, until one fails.
absl::Status Check(const Flags& flags) {
  RunFacts facts;
  for (int64_t i = 0; i < flags.runs; ++i) {
    const uint64_t seed = flags.shape.seed + i;
    const absl::StatusOr<RunFacts> run = CheckRandomRun(seed);
    if (!run.ok()) {
      return Annotate(run.status(), absl::StrCat("--seed=", seed));
    }
    facts += *run;
  }
  std::printf(
      "%lld runs: %lld sequences in %lld steps, %lld preemptions, %lld "
      "failures\n",
      static_cast<long long>(facts.runs),
      static_cast<long long>(facts.sequences),
      static_cast<long long>(facts.steps),
      static_cast<long long>(facts.preemptions),
      static_cast<long long>(facts.failures));
  return absl::OkStatus();
}

void AddWorkloadFlags(CLI::App* app, Flags* flags) {
  WorkloadShape& shape = flags->shape;
  const std::string group = "What arrives";
  const auto add = [&](const char* name, auto* target, const char* text) {
    return app->add_option(name, *target, text)
        ->capture_default_str()
        ->group(group);
  };
  add("--trace", &flags->trace,
      "JSON lines or CSV (docs/simulator.md); without it, arrivals are drawn "
      "from --seed");
  add("--seed", &shape.seed, "Of arrivals, lengths and failures");
  add("--rate", &shape.rate, "New conversations per second, Poisson")
      ->check(CLI::Range(1e-6, 1e6));
  add("--duration", &shape.duration_s, "Seconds in which they begin")
      ->check(CLI::Range(0.0, 1e7));
  add("--length-scale", &shape.length_scale,
      "Of prompts (mean 161 tokens) and answers (mean 338)")
      ->check(CLI::Range(1e-3, 1e3));
  add("--system-prompts", &shape.system_prompts,
      "Prompts that conversations share, equally likely")
      ->check(CLI::Range(0, 1 << 20));
  add("--system-prompt-tokens", &shape.system_prompt_tokens, "Tokens of each")
      ->check(CLI::Range(0, 1 << 20));
  add("--next-turn", &shape.next_turn, "Probability of another turn")
      ->check(CLI::Range(0.0, 1.0));
  add("--think", &shape.think_s, "Mean seconds before another turn")
      ->check(CLI::Range(0.0, 1e7));
  add("--n", &shape.samples, "Samples of every prompt")
      ->check(CLI::Range(1, 1024));
  add("--cancelled", &shape.cancelled, "Share of clients that go away")
      ->check(CLI::Range(0.0, 1.0));
  add("--cancel-after", &shape.cancel_after_s, "Mean seconds until they do")
      ->check(CLI::Range(0.0, 1e7));
  add("--deadline", &shape.deadline_s, "Seconds a request may take")
      ->check(CLI::Range(1e-6, kNever));
  add("--failure-every", &shape.failure_every_s,
      "Mean seconds between failures of all workers; 0: none")
      ->check(CLI::Range(0.0, 1e7));
  add("--recovery", &shape.recovery_s, "Seconds until new workers are ready")
      ->check(CLI::Range(0.0, 1e7));
  add("--end", &flags->end_s,
      "Seconds after which to stop; 0: when all is done")
      ->check(CLI::Range(0.0, 1e9));
}

void AddMachineFlags(CLI::App* app, Flags* flags) {
  const std::string group = "What it runs on";
  const auto add = [&](const char* name, auto* target, const char* text) {
    return app->add_option(name, *target, text)
        ->capture_default_str()
        ->group(group);
  };
  add("--model", &flags->model,
      "e2b, e4b, 26b-a4b, 31b, 120b-a15b, or a directory with a config.json");
  add("--machine", &flags->machine, "cpu-2core, h100 or h200, for each stage");
  add("--stages", &flags->stages, "Pipeline stages, equal in work")
      ->check(CLI::Range(1, 64));
  add("--kv-format", &flags->kv_format, "bf16 or f32");
  // 0: the machine's own.
  add("--memory", &flags->rates.memory_bytes, "GB of a stage; 0: the machine's")
      ->check(CLI::Range(0.0, 1e6));
  add("--bandwidth", &flags->rates.bytes_per_s, "GB/s; 0: the machine's")
      ->check(CLI::Range(0.0, 1e6));
  add("--flops", &flags->rates.flops_per_s, "TFLOP/s; 0: the machine's")
      ->check(CLI::Range(0.0, 1e6));
  add("--step-overhead", &flags->rates.step_s,
      "Microseconds of every step on every stage; 0: the machine's")
      ->check(CLI::Range(0.0, 1e9));
  add("--slice-overhead", &flags->rates.slice_s,
      "Microseconds of every sequence in a step; 0: the machine's")
      ->check(CLI::Range(0.0, 1e9));
  add("--round-trip", &flags->rates.round_trip_s,
      "Microseconds from the coordinator to workers and back; 0: the machine's")
      ->check(CLI::Range(0.0, 1e9));
}

void AddSchedulerFlags(CLI::App* app, Flags* flags) {
  SchedulerLimits& limits = flags->limits;
  const std::string group = "How it is scheduled";
  const auto add = [&](const char* name, auto* target, const char* text) {
    return app->add_option(name, *target, text)
        ->capture_default_str()
        ->group(group);
  };
  add("--max-sequences", &limits.max_sequences, "Running at once")
      ->check(CLI::Range(1, 1 << 16));
  add("--chunk", &limits.max_step_tokens, "Most tokens of one step")
      ->check(CLI::Range(1, 1 << 20));
  add("--context", &limits.max_positions,
      "Tokens of a sequence; 0: the model's")
      ->check(CLI::Range(0, 1 << 24));
  add("--page-tokens", &limits.pools.page_tokens, "Tokens of a K/V page")
      ->check(CLI::Range(1, 1 << 16));
  app->add_option(
         "--kv-memory", flags->kv_bytes,
         "Memory for K and V of each stage, e.g. 2G; default: what 90% "
         "of the machine's leaves beside the weights")
      ->transform(CLI::AsSizeValue(false))
      ->group(group);
  add("--sliding-pages", &limits.pools.sliding_pages,
      "Pages of sliding layers; 0: as --kv-memory allows")
      ->check(CLI::Range(0, 1 << 26));
  add("--global-pages", &limits.pools.global_pages,
      "Pages of global layers; 0: as --kv-memory allows")
      ->check(CLI::Range(0, 1 << 26));
  add("--micro-batches", &limits.micro_batches, "0: as many as stages")
      ->check(CLI::Range(0, 64));
  add("--ahead", &limits.max_unapplied,
      "Steps handed over and not back; 0: stages + 1")
      ->check(CLI::Range(0, 65));
  add("--queue", &flags->most_waiting, "Sequences that may wait")
      ->check(CLI::Range(0, 1 << 30));
  app->add_flag("--no-prefix-cache", flags->no_prefix_cache,
                "Requests share no pages")
      ->group(group);
}

int Main(int argc, char** argv) {
  // Paths are those of the shell that `bazel run` was typed in.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    std::error_code error;
    std::filesystem::current_path(directory, error);
  }
  CLI::App app(
      "Simulates how a cluster serves a load: Facet's own scheduler, workers "
      "that only\nkeep time, and a clock that need not wait. Prints "
      "throughput, latencies and\npage use.",
      "simulate");
  app.footer(
      "Examples:\n"
      "  bazel run //scheduler:simulate -- --trace=trace.jsonl\n"
      "  bazel run //scheduler:simulate -- --model=31b --machine=h200 "
      "--rate=4\n"
      "  bazel run //scheduler:simulate -- --rate=0.02 --duration=3600 "
      "--next-turn=0.7\n"
      "  bazel run //scheduler:simulate -- --model=31b --machine=h100 "
      "--stages=2 --rate=8 \\\n"
      "      --system-prompts=4 --failure-every=60 --json\n");
  app.get_formatter()->column_width(30);
  Flags flags;
  flags.limits.micro_batches = 0;
  flags.limits.max_unapplied = 0;
  AddWorkloadFlags(&app, &flags);
  AddMachineFlags(&app, &flags);
  AddSchedulerFlags(&app, &flags);
  app.add_flag("--json", flags.json, "JSON in place of a table");
  app.add_flag("--check", flags.check,
               "The property test's run of --seed in place of a simulation");
  app.add_option("--runs", flags.runs, "Of --check: so many seeds")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 30));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "simulate: %s (try --help)\n", error.what());
    return kExitBadInput;
  }
  const absl::Status status = flags.check ? Check(flags) : Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "simulate: %s\n", std::string(status.message()).c_str());
  return absl::IsInternal(status) ? kExitFailed : kExitBadInput;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) { return facet::Main(argc, argv); }
