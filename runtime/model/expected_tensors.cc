#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/model/weights.h"

namespace facet {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

void AddLayer(const ModelConfig& model, int i,
              std::vector<ExpectedTensor>& out) {
  const LayerConfig& layer = model.layers[i];
  const std::string prefix =
      absl::StrCat(model.tensor_prefix, "layers.", i, ".");
  const int64_t hidden = model.hidden_size;
  const int64_t q_rows = int64_t{model.query_heads} * layer.head_dim;
  const int64_t kv_rows = int64_t{layer.kv_heads} * layer.head_dim;
  const auto add = [&](const char* name, std::vector<int64_t> shape) {
    out.push_back({prefix + name, std::move(shape)});
  };
  add("input_layernorm.weight", {hidden});
  add("post_attention_layernorm.weight", {hidden});
  add("pre_feedforward_layernorm.weight", {hidden});
  add("post_feedforward_layernorm.weight", {hidden});
  add("layer_scalar", {1});
  add("self_attn.q_proj.weight", {q_rows, hidden});
  add("self_attn.q_norm.weight", {layer.head_dim});
  if (model.owns_kv(i)) {
    add("self_attn.k_proj.weight", {kv_rows, hidden});
    add("self_attn.k_norm.weight", {layer.head_dim});
    if (!layer.k_eq_v) add("self_attn.v_proj.weight", {kv_rows, hidden});
  }
  add("self_attn.o_proj.weight", {hidden, q_rows});
  add("mlp.gate_proj.weight", {layer.intermediate_size, hidden});
  add("mlp.up_proj.weight", {layer.intermediate_size, hidden});
  add("mlp.down_proj.weight", {hidden, layer.intermediate_size});
  if (model.num_experts > 0) {
    const int64_t experts = model.num_experts;
    const int64_t width = model.expert_width;
    add("router.proj.weight", {experts, hidden});
    add("router.scale", {hidden});
    add("router.per_expert_scale", {experts});
    add("experts.gate_up_proj", {experts, 2 * width, hidden});
    add("experts.down_proj", {experts, hidden, width});
    add("pre_feedforward_layernorm_2.weight", {hidden});
    add("post_feedforward_layernorm_1.weight", {hidden});
    add("post_feedforward_layernorm_2.weight", {hidden});
  }
  if (model.per_layer_width > 0) {
    const int64_t width = model.per_layer_width;
    add("per_layer_input_gate.weight", {width, hidden});
    add("per_layer_projection.weight", {hidden, width});
    add("post_per_layer_input_norm.weight", {hidden});
  }
}

}  // namespace

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& model) {
  std::vector<ExpectedTensor> out;
  const std::string& prefix = model.tensor_prefix;
  const int64_t hidden = model.hidden_size;
  out.push_back({prefix + "embed_tokens.weight", {model.vocab_size, hidden}});
  out.push_back({prefix + "norm.weight", {hidden}});
  if (!model.tie_word_embeddings) {
    out.push_back({"lm_head.weight", {model.vocab_size, hidden}});
  }
  if (model.per_layer_width > 0) {
    const int64_t width = int64_t{model.num_layers()} * model.per_layer_width;
    out.push_back({prefix + "embed_tokens_per_layer.weight",
                   {model.per_layer_vocab_size, width}});
    out.push_back(
        {prefix + "per_layer_model_projection.weight", {width, hidden}});
    out.push_back(
        {prefix + "per_layer_projection_norm.weight", {model.per_layer_width}});
  }
  for (int i = 0; i < model.num_layers(); ++i) AddLayer(model, i, out);
  return out;
}

absl::Status CheckTensors(const ModelConfig& model,
                          const Checkpoint& checkpoint) {
  for (const ExpectedTensor& spec : ExpectedTensors(model)) {
    const TensorView* tensor = checkpoint.Find(spec.name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint: tensor ", spec.name, " of shape ", ShapeText(spec.shape),
          " is missing; config.json calls for it, so the two do not belong "
          "together or a file is incomplete"));
    }
    if (tensor->shape != spec.shape) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor->file, ": tensor ", spec.name, " has shape ",
                       ShapeText(tensor->shape), ", expected ",
                       ShapeText(spec.shape), " by config.json"));
    }
    if (tensor->dtype != DType::kBF16 && tensor->dtype != DType::kF32 &&
        tensor->dtype != DType::kF16) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor->file, ": tensor ", spec.name, " has dtype ",
                       Name(tensor->dtype), ", expected BF16, F16 or F32"));
    }
  }
  return absl::OkStatus();
}

}  // namespace facet
