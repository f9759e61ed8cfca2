#include "rpc/cli/model_flags.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/attention/attention.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/byte_size.h"
#include "runtime/executor/rank_device.h"

namespace facet {
namespace {

// Bytes, or a share of this machine's memory that `workers` divide.
absl::StatusOr<int64_t> ParseKvMemory(const std::string& text, int workers) {
  if (!absl::EndsWith(text, "%")) return ParseByteSize(text);
  double percent = 0;
  if (!absl::SimpleAtod(text.substr(0, text.size() - 1), &percent) ||
      !(percent > 0 && percent <= 90)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is no share of the memory; write 1% to 90%"));
  }
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<double>(sysconf(_SC_PAGESIZE));
  return static_cast<int64_t>(memory * percent / 100 / workers);
}

absl::Status AtLeast(const char* flag, int value, int least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", value, " is out of range, at least ", least));
}

absl::Status AtLeast(const char* flag, std::optional<int> value, int least) {
  return value.has_value() ? AtLeast(flag, *value, least) : absl::OkStatus();
}

// Each rank of a stage holding experts of its own reads the fewest bytes.
int MostExpertGroups(const ModelConfig& model, int tp_size) {
  for (int groups = tp_size; groups > 1; --groups) {
    if (tp_size % groups == 0 && model.num_experts > 0 &&
        model.num_experts % groups == 0) {
      return groups;
    }
  }
  return 1;
}

// `first` or `second`, by which of two words `value` is.
template <typename T>
absl::StatusOr<T> OneOf(const char* flag, const std::string& value,
                        const char* first_word, T first,
                        const char* second_word, T second) {
  if (value == first_word) return first;
  if (value == second_word) return second;
  return absl::InvalidArgumentError(absl::StrCat(
      flag, ": \"", value, "\", expected ", first_word, " or ", second_word));
}

absl::StatusOr<NumericsOptions> ParseNumerics(const ModelFlags& flags) {
  NumericsOptions numerics;
  FACET_ASSIGN_OR_RETURN(numerics.fast, OneOf("--numerics", flags.numerics,
                                              "exact", false, "fast", true));
  FACET_ASSIGN_OR_RETURN(
      numerics.activations,
      OneOf("--activations",
            flags.activations.value_or(numerics.fast ? "bf16" : "f32"), "f32",
            Activations::kF32, "bf16", Activations::kBF16));
  FACET_ASSIGN_OR_RETURN(numerics.kv_format,
                         OneOf("--kv-format", flags.kv_format, "f32",
                               KvFormat::kF32, "bf16", KvFormat::kBF16));
  if (numerics.fast && numerics.activations == Activations::kF32) {
    return absl::InvalidArgumentError(
        "--numerics=fast rounds what --activations=f32 keeps: give "
        "--numerics=fast alone for speed, or --activations=f32 alone for f32");
  }
  return numerics;
}

}  // namespace

void AddParallelismFlags(CLI::App* app, ParallelismFlags* flags) {
  const std::string group = "How the model is cut";
  app->add_option("--workers", flags->workers,
                  "Workers in all; alone it means --tp where the model allows "
                  "that many, otherwise --pp")
      ->group(group);
  app->add_option("--tp", flags->tp, "Ranks that share every layer of a stage")
      ->group(group);
  app->add_option("--pp", flags->pp, "Pipeline stages, runs of layers")
      ->group(group);
  app->add_option("--ep", flags->ep,
                  "Groups that divide the experts; divides --tp; default: as "
                  "many as the model allows")
      ->group(group);
  app->add_option("--stage-layers", flags->stage_layers,
                  "Layers of each stage, e.g. 20,15; default: balanced")
      ->delimiter(',')
      ->group(group);
}

absl::StatusOr<ParallelismOptions> ResolveParallelism(
    const ParallelismFlags& flags, const ModelConfig& model) {
  FACET_RETURN_IF_ERROR(AtLeast("--workers", flags.workers, 1));
  FACET_RETURN_IF_ERROR(AtLeast("--tp", flags.tp, 1));
  FACET_RETURN_IF_ERROR(AtLeast("--pp", flags.pp, 1));
  FACET_RETURN_IF_ERROR(AtLeast("--ep", flags.ep, 1));

  ParallelismOptions options;
  options.stage_layers = flags.stage_layers;
  std::optional<int> pp = flags.pp;
  if (!pp.has_value() && !flags.stage_layers.empty()) {
    pp = static_cast<int>(flags.stage_layers.size());
  }

  if (flags.workers.has_value() && !flags.tp.has_value() && !pp.has_value()) {
    options.tp_size = *flags.workers;
    options.ep_size =
        flags.ep.value_or(MostExpertGroups(model, *flags.workers));
    if (!ShardPlan::Create(model, options).ok()) {
      options.tp_size = 1;
      options.pp_size = *flags.workers;
    }
  } else {
    options.tp_size = flags.tp.value_or(1);
    options.pp_size = pp.value_or(1);
    if (flags.workers.has_value()) {
      const int workers = *flags.workers;
      if (!flags.tp.has_value() && workers % options.pp_size == 0) {
        options.tp_size = workers / options.pp_size;
      } else if (!pp.has_value() && workers % options.tp_size == 0) {
        options.pp_size = workers / options.tp_size;
      }
      if (options.tp_size * options.pp_size != workers) {
        return absl::InvalidArgumentError(absl::StrCat(
            "--workers=", workers, " disagrees with --tp=", options.tp_size,
            " --pp=", options.pp_size, ", which take ",
            options.tp_size * options.pp_size, " workers"));
      }
    }
  }
  options.ep_size = flags.ep.value_or(MostExpertGroups(model, options.tp_size));
  // Unasked, experts divide as far as they can: replicas would hold them all
  // and share the tokens, which a single decoded token does not divide by.
  if (!flags.ep.has_value() && model.num_experts > 0 &&
      model.num_experts % options.tp_size == 0) {
    options.ep_size = options.tp_size;
  }
  FACET_ASSIGN_OR_RETURN(const ShardPlan plan,
                         ShardPlan::Create(model, options));
  return plan.options();
}

void AddModelFlags(CLI::App* app, ModelFlags* flags, bool required) {
  app->add_option("--model", flags->model,
                  "Checkpoint directory as Hugging Face publishes it")
      ->required(required);
  AddParallelismFlags(app, &flags->parallelism);
  const std::string group = "How each worker runs";
  app->add_option("--device", flags->device,
                  "cpu; cuda, worker i on GPU i; or cuda:N, one worker on "
                  "GPU N")
      ->capture_default_str()
      ->group(group);
  app->add_option("--threads", flags->threads,
                  "Threads of each worker; 0: the CPUs divided by the workers")
      ->capture_default_str()
      ->group(group);
  app->add_option("--kv-memory", flags->kv_memory,
                  "Memory for K and V of each worker, e.g. 512M or 2G; or "
                  "e.g. 40%, a share of this machine's that workers divide")
      ->capture_default_str()
      ->group(group);
  app->add_option("--chunk", flags->chunk, "Most tokens of one step")
      ->capture_default_str()
      ->group(group);
  app->add_option("--page-tokens", flags->page_tokens, "Tokens of a K/V page")
      ->capture_default_str()
      ->group(group);
  app->add_option("--numerics", flags->numerics,
                  "exact: the same bits for every batch, chunk and sharding; "
                  "fast: speed instead, with rounded inputs and, on GPUs, a "
                  "vendor's products and sums (docs/numerics.md)")
      ->capture_default_str()
      ->group(group);
  app->add_option("--activations", flags->activations,
                  "Inputs of matrix products: f32, or bf16 for speed; default: "
                  "f32, with --numerics=fast bf16")
      ->group(group);
  app->add_option("--kv-format", flags->kv_format, "K/V pages: f32 or bf16")
      ->capture_default_str()
      ->group(group);
  app->add_flag("--check-weights", flags->check_weights,
                "Read every weight first and refuse NaN and infinity")
      ->group(group);
  app->add_option("--chat-format", flags->chat_format,
                  "auto, current, interleaved or original; auto goes by the "
                  "checkpoint's template")
      ->capture_default_str()
      ->group(group);
}

absl::StatusOr<ClusterOptions> MakeClusterOptions(const ModelFlags& flags) {
  FACET_RETURN_IF_ERROR(ParseDevice(flags.device, 0).status());
  FACET_RETURN_IF_ERROR(AtLeast("--chunk", flags.chunk, 1));
  FACET_RETURN_IF_ERROR(AtLeast("--threads", flags.threads, 0));
  if (flags.page_tokens < 1 || flags.page_tokens % kAttentionBlock != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--page-tokens: ", flags.page_tokens,
                     " is no multiple of ", kAttentionBlock));
  }
  ClusterOptions options;
  options.model_directory = flags.model;
  options.device = flags.device;
  options.threads_per_worker = flags.threads;
  options.page_tokens = flags.page_tokens;
  options.chunk_tokens = flags.chunk;
  options.check_weights = flags.check_weights;
  FACET_ASSIGN_OR_RETURN(options.numerics, ParseNumerics(flags));

  std::error_code error;
  if (!std::filesystem::is_directory(flags.model, error)) {
    return absl::NotFoundError(
        absl::StrCat("--model: there is no directory ", flags.model));
  }
  FACET_ASSIGN_OR_RETURN(const ModelConfig model, ReadModelConfig(flags.model));
  FACET_ASSIGN_OR_RETURN(options.parallelism,
                         ResolveParallelism(flags.parallelism, model));
  const absl::StatusOr<int64_t> kv_bytes =
      ParseKvMemory(flags.kv_memory,
                    options.parallelism.pp_size * options.parallelism.tp_size);
  if (!kv_bytes.ok()) return Annotate(kv_bytes.status(), "--kv-memory");
  options.kv_bytes_per_worker = *kv_bytes;
  return options;
}

}  // namespace facet
