#include "runtime/checkpoint/text_tensors.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

// Collects tensors under a common prefix.
class Collector {
 public:
  explicit Collector(std::vector<TensorSpec>* tensors) : tensors_(tensors) {}

  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }

  void Add(const char* name, std::vector<int64_t> shape) {
    tensors_->push_back(
        {absl::StrCat(prefix_, name), DType::kBF16, std::move(shape)});
  }

 private:
  std::vector<TensorSpec>* const tensors_;
  std::string prefix_;
};

void AddAttention(const ModelConfig& model, int layer, Collector& add) {
  const LayerConfig& config = model.layers[layer];
  const int64_t hidden = model.hidden_size;
  const int64_t head_dim = config.head_dim;
  const int64_t query_rows = model.query_heads * head_dim;
  const int64_t kv_rows = config.kv_heads * head_dim;
  add.Add("self_attn.q_proj.weight", {query_rows, hidden});
  add.Add("self_attn.q_norm.weight", {head_dim});
  if (model.owns_kv(layer)) {
    add.Add("self_attn.k_proj.weight", {kv_rows, hidden});
    add.Add("self_attn.k_norm.weight", {head_dim});
    if (!config.k_eq_v) add.Add("self_attn.v_proj.weight", {kv_rows, hidden});
  }
  add.Add("self_attn.o_proj.weight", {hidden, query_rows});
}

void AddFeedForward(const ModelConfig& model, int layer, Collector& add) {
  const int64_t hidden = model.hidden_size;
  const int64_t width = model.layers[layer].intermediate_size;
  add.Add("mlp.gate_proj.weight", {width, hidden});
  add.Add("mlp.up_proj.weight", {width, hidden});
  add.Add("mlp.down_proj.weight", {hidden, width});
  if (model.num_experts == 0) return;
  const int64_t experts = model.num_experts;
  const int64_t expert_width = model.expert_width;
  add.Add("post_feedforward_layernorm_1.weight", {hidden});
  add.Add("pre_feedforward_layernorm_2.weight", {hidden});
  add.Add("router.proj.weight", {experts, hidden});
  add.Add("router.scale", {hidden});
  add.Add("router.per_expert_scale", {experts});
  add.Add("experts.gate_up_proj", {experts, 2 * expert_width, hidden});
  add.Add("experts.down_proj", {experts, hidden, expert_width});
  add.Add("post_feedforward_layernorm_2.weight", {hidden});
}

void AddLayer(const ModelConfig& model, int layer, Collector& add) {
  const int64_t hidden = model.hidden_size;
  add.Add("input_layernorm.weight", {hidden});
  AddAttention(model, layer, add);
  add.Add("post_attention_layernorm.weight", {hidden});
  add.Add("pre_feedforward_layernorm.weight", {hidden});
  AddFeedForward(model, layer, add);
  add.Add("post_feedforward_layernorm.weight", {hidden});
  if (const int64_t width = model.per_layer_width; width > 0) {
    add.Add("per_layer_input_gate.weight", {width, hidden});
    add.Add("per_layer_projection.weight", {hidden, width});
    add.Add("post_per_layer_input_norm.weight", {hidden});
  }
  add.Add("layer_scalar", {1});
}

}  // namespace

std::vector<TensorSpec> TextTensors(const ModelConfig& model) {
  std::vector<TensorSpec> tensors;
  Collector add(&tensors);
  add.set_prefix(model.tensor_prefix);
  const int64_t hidden = model.hidden_size;
  add.Add("embed_tokens.weight", {model.vocab_size, hidden});
  if (const int64_t width = model.per_layer_width; width > 0) {
    const int64_t all_layers = model.num_layers() * width;
    add.Add("embed_tokens_per_layer.weight",
            {model.per_layer_vocab_size, all_layers});
    add.Add("per_layer_model_projection.weight", {all_layers, hidden});
    add.Add("per_layer_projection_norm.weight", {width});
  }
  for (int layer = 0; layer < model.num_layers(); ++layer) {
    add.set_prefix(absl::StrCat(model.tensor_prefix, "layers.", layer, "."));
    AddLayer(model, layer, add);
  }
  add.set_prefix(model.tensor_prefix);
  add.Add("norm.weight", {hidden});
  if (!model.tie_word_embeddings) {
    add.set_prefix("");
    add.Add("lm_head.weight", {model.vocab_size, hidden});
  }
  return tensors;
}

}  // namespace facet
