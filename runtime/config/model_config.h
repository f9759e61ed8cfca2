// The text model of any Gemma 4 checkpoint as plain numbers, read from its
// config.json. Knows every operation's sizes; knows no files of weights, no
// devices and no sharding.
#ifndef FACET_RUNTIME_CONFIG_MODEL_CONFIG_H_
#define FACET_RUNTIME_CONFIG_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet {

// Sliding layers see the last `sliding_window` tokens, the query's own
// included; global ("full") layers see everything before.
enum class LayerKind : uint8_t { kSliding, kGlobal };

// Rotary embedding of one layer kind, half-split layout over the whole head.
// Pair i turns by position * theta^(-2i / head_dim) / factor for
// i < rotated_pairs and stays put after.
struct RopeConfig {
  double theta = 10000.0;
  int rotated_pairs = 0;  // of head_dim / 2
  double factor = 1.0;    // divides every frequency
};

struct LayerConfig {
  LayerKind kind = LayerKind::kSliding;
  int head_dim = 0;
  int kv_heads = 0;
  int intermediate_size = 0;  // of the dense MLP; doubled where the config says
  bool k_eq_v = false;        // no v_proj: V comes from the raw K projection
  // The layer whose K/V this one reads; its own index where it owns them.
  int kv_source = 0;
};

struct ModelConfig {
  int64_t vocab_size = 0;
  int hidden_size = 0;
  int query_heads = 0;  // the same on all layers
  int sliding_window = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  float final_logit_softcapping = 0;  // 0: none
  bool tie_word_embeddings = true;
  bool bidirectional_media = false;  // use_bidirectional_attention = "vision"

  std::vector<LayerConfig> layers;
  RopeConfig sliding_rope;
  RopeConfig global_rope;

  // Per-layer embeddings (E2B, E4B); per_layer_width 0 means none.
  int per_layer_width = 0;
  int64_t per_layer_vocab_size = 0;

  // Experts; num_experts 0 means a dense model.
  int num_experts = 0;
  int experts_per_token = 0;
  int expert_width = 0;

  int pad_token_id = 0;
  int bos_token_id = 2;
  std::vector<int> eos_token_ids;  // of config.json alone
  // Placeholder ids whose per-layer embedding is the pad row; -1 where absent.
  int image_token_id = -1;
  int video_token_id = -1;
  int audio_token_id = -1;

  // "model.language_model." in full checkpoints, "model." in text-only ones.
  std::string tensor_prefix;

  int num_layers() const { return static_cast<int>(layers.size()); }
  bool owns_kv(int layer) const { return layers[layer].kv_source == layer; }
  const RopeConfig& rope(int layer) const {
    return layers[layer].kind == LayerKind::kSliding ? sliding_rope
                                                     : global_rope;
  }
};

// Reads the text of a config.json (model types "gemma4" and "gemma4_text").
//
// Errors:
//   INVALID_ARGUMENT  not JSON, an unknown model_type, a field of the wrong
//                     type, missing, out of range, or at odds with another.
//                     The message names the field, the value and what is legal.
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json);

// The same from `directory`/config.json; errors name the file.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& directory);

// generation_config.json, all of it optional.
struct GenerationDefaults {
  bool do_sample = false;
  float temperature = 1.0f;
  int top_k = 0;                   // 0: off
  float top_p = 1.0f;              // 1: off
  std::vector<int> eos_token_ids;  // empty: those of config.json hold
};

// A missing file gives the defaults above; a malformed one is an error.
absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(
    const std::string& directory);

}  // namespace facet

#endif  // FACET_RUNTIME_CONFIG_MODEL_CONFIG_H_
