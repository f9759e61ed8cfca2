// `facet plan`: who would hold what, before anything runs.
#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "rpc/cli/byte_size.h"
#include "rpc/cli/input_files.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/plan_kubernetes.h"
#include "rpc/cli/verb.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/shard_plan.h"

namespace facet {
namespace {

struct PlanFlags {
  std::string model;
  std::string cluster;
  ParallelismFlags parallelism;
  std::string kv_format = "f32";
  bool json = false;
  bool kubernetes = false;
  KubernetesPlanOptions node;
  std::string gpu_memory;
  std::string node_memory;
  std::string form;
};

absl::Status ReadSize(const char* flag, const std::string& text,
                      int64_t* bytes) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<int64_t> size = ParseByteSize(text);
  if (!size.ok()) return Annotate(size.status(), flag);
  *bytes = *size;
  return absl::OkStatus();
}

absl::Status PlanKubernetes(const PlanFlags& flags, const ModelConfig& model) {
  KubernetesPlanOptions options = flags.node;
  options.parallelism = flags.parallelism;
  options.kv_format = flags.kv_format;
  FACET_RETURN_IF_ERROR(
      ReadSize("--gpu-memory", flags.gpu_memory, &options.node.gpu_memory));
  FACET_RETURN_IF_ERROR(
      ReadSize("--node-memory", flags.node_memory, &options.node.node_memory));
  const std::string form = !flags.form.empty()      ? flags.form
                           : options.node.nodes > 1 ? "lws"
                                                    : "one-node";
  if (form == "one-node") {
    options.form = WorkloadForm::kOneNode;
  } else if (form == "lws") {
    options.form = WorkloadForm::kLeaderWorkerSet;
  } else if (form == "statefulset") {
    options.form = WorkloadForm::kStatefulSet;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "--form: \"", form, "\", expected one-node, lws or statefulset"));
  }
  FACET_ASSIGN_OR_RETURN(const std::string component,
                         KubernetesComponent(model, options));
  std::fputs(component.c_str(), stdout);
  return absl::OkStatus();
}

// {"tp": 2, "pp": 1, "ep": 1, "workers": 2, "stage_layers": [6, 6]}, all
// optional. Flags win.
absl::Status ReadCluster(const std::string& path, ParallelismFlags* flags) {
  FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  FACET_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, R"(: expected {"tp": 2, "pp": 1, "ep": 1})"));
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "stage_layers") {
      FACET_ASSIGN_OR_RETURN(const std::vector<int32_t> layers,
                             ParseIds(value, absl::StrCat(path, ": ", key)));
      if (flags->stage_layers.empty()) {
        flags->stage_layers.assign(layers.begin(), layers.end());
      }
      continue;
    }
    std::optional<int>* const target = key == "tp"        ? &flags->tp
                                       : key == "pp"      ? &flags->pp
                                       : key == "ep"      ? &flags->ep
                                       : key == "workers" ? &flags->workers
                                                          : nullptr;
    if (target == nullptr || !value.is_number_integer() ||
        value.get<int64_t>() < 1 || value.get<int64_t>() > 1 << 20) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", key,
          target == nullptr
              ? ": unknown field, legal are tp, pp, ep, workers, stage_layers"
              : ": expected a whole number from 1"));
    }
    if (!target->has_value()) *target = value.get<int>();
  }
  return absl::OkStatus();
}

nlohmann::ordered_json ToJson(const ModelConfig& model, const ShardPlan& plan,
                              int kv_element_bytes) {
  const auto range = [](const IndexRange& r) {
    return nlohmann::ordered_json{r.begin, r.end};
  };
  nlohmann::ordered_json json;
  json["world_size"] = plan.world_size();
  json["pp"] = plan.pp_size();
  json["tp"] = plan.tp_size();
  json["ep"] = plan.ep_size();
  json["stage_layers"] = plan.options().stage_layers;
  json["virtual_shards"] = plan.virtual_shards();
  json["ranks"] = nlohmann::ordered_json::array();
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const RankShard& shard = plan.shard(rank);
    json["ranks"].push_back(
        {{"rank", rank},
         {"stage", shard.stage},
         {"tp_rank", shard.tp_rank},
         {"ep_rank", shard.ep_rank},
         {"layers", range(shard.layers)},
         {"query_heads", range(shard.query_heads)},
         {"experts", range(shard.experts)},
         {"vocab", range(shard.vocab)},
         {"weight_bytes", plan.WeightBytes(model, rank)},
         {"kv_bytes_per_token",
          {{"sliding", plan.KvBytesPerToken(model, rank, LayerKind::kSliding,
                                            kv_element_bytes)},
           {"global", plan.KvBytesPerToken(model, rank, LayerKind::kGlobal,
                                           kv_element_bytes)}}}});
  }
  return json;
}

absl::Status Plan(PlanFlags flags) {
  if (flags.kv_format != "f32" && flags.kv_format != "bf16") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--kv-format: \"", flags.kv_format, "\", expected f32 or bf16"));
  }
  const int element = flags.kv_format == "f32" ? 4 : 2;
  if (!flags.cluster.empty()) {
    FACET_RETURN_IF_ERROR(ReadCluster(flags.cluster, &flags.parallelism));
  }
  FACET_ASSIGN_OR_RETURN(const ModelConfig model, ReadModelConfig(flags.model));
  if (flags.kubernetes) return PlanKubernetes(flags, model);
  FACET_ASSIGN_OR_RETURN(const ParallelismOptions options,
                         ResolveParallelism(flags.parallelism, model));
  FACET_ASSIGN_OR_RETURN(const ShardPlan plan,
                         ShardPlan::Create(model, options));
  if (flags.json) {
    std::printf("%s\n", ToJson(model, plan, element).dump(2).c_str());
    return absl::OkStatus();
  }
  const std::string table = ToTable(model, plan);
  std::fputs(table.c_str(), stdout);
  if (!table.empty() && table.back() != '\n') std::printf("\n");
  std::printf("\nK/V bytes per token (%s):\n  rank     sliding      global\n",
              flags.kv_format.c_str());
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    std::printf("  %4d  %10lld  %10lld\n", rank,
                static_cast<long long>(plan.KvBytesPerToken(
                    model, rank, LayerKind::kSliding, element)),
                static_cast<long long>(plan.KvBytesPerToken(
                    model, rank, LayerKind::kGlobal, element)));
  }
  std::printf("Sliding layers keep the last %d tokens of a sequence.\n",
              model.sliding_window);
  return absl::OkStatus();
}

}  // namespace

int RunPlan(int argc, char** argv) {
  PlanFlags flags;
  const auto app = MakeApp(
      "plan",
      "Prints who would hold what: layers, heads, experts, vocabulary and "
      "bytes "
      "of each\nrank. Reads config.json alone, so the model need not be "
      "downloaded.",
      "  facet plan --model DIR --workers=2\n"
      "  facet plan --model DIR --tp=4 --pp=2 --json\n"
      "  facet plan --model DIR --cluster=cluster.json\n"
      "  facet plan --model DIR --kubernetes --nodes=2 --gpus=4 "
      "--gpu-memory=80G\n\n"
      "cluster.json: {\"tp\": 2, \"pp\": 1, \"ep\": 1}\n");
  app->add_option("--model", flags.model, "Directory with a config.json")
      ->required();
  app->add_option("--cluster", flags.cluster, "JSON file with the sizes");
  app->add_option("--kv-format", flags.kv_format, "K/V pages: f32 or bf16")
      ->capture_default_str();
  app->add_flag("--json", flags.json, "JSON in place of a table");
  AddParallelismFlags(app.get(), &flags.parallelism);
  const std::string group = "On Kubernetes (see deploy/README.md)";
  app->add_flag("--kubernetes", flags.kubernetes,
                "A Kustomize component for deploy/kubernetes in place of a "
                "table")
      ->group(group);
  app->add_option("--nodes", flags.node.node.nodes,
                  "Nodes that share the model")
      ->capture_default_str()
      ->group(group);
  app->add_option("--gpus", flags.node.node.gpus,
                  "GPUs of each node; 0: processors compute")
      ->capture_default_str()
      ->group(group);
  app->add_option("--gpu-memory", flags.gpu_memory, "Of each GPU, e.g. 80G")
      ->group(group);
  app->add_option("--node-cpus", flags.node.node.cpus,
                  "CPUs of each node for Facet; default: 2 a GPU, and 4")
      ->group(group);
  app->add_option(
         "--node-memory", flags.node_memory,
         "Memory of each node for Facet; default: room for its weights")
      ->group(group);
  app->add_option("--chunk", flags.node.chunk_tokens, "Most tokens of one step")
      ->capture_default_str()
      ->group(group);
  app->add_option("--max-sequences", flags.node.max_sequences,
                  "Answers at once")
      ->capture_default_str()
      ->group(group);
  app->add_option("--form", flags.form,
                  "one-node, lws or statefulset; default: lws for several "
                  "nodes")
      ->group(group);
  return RunVerb(app.get(), argc, argv, [&] { return Plan(flags); });
}

}  // namespace facet
