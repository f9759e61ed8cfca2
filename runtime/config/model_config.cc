#include "runtime/config/model_config.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/config/json_fields.h"

namespace facet {
namespace {

using nlohmann::json;

// Bounds on what a file may ask for. Well above any model in sight, and small
// enough that no product of sizes overflows an int64_t.
constexpr int64_t kMaxFileBytes = 16 << 20;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxHidden = 1 << 17;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxIntermediate = 1 << 20;
constexpr int64_t kMaxPerLayerWidth = 1 << 14;
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxExpertWidth = 1 << 18;
constexpr int64_t kMaxPositions = 1 << 30;
constexpr size_t kMaxEosTokens = 64;

// One layer in six is global where layer_types is missing.
constexpr int kDefaultGlobalEvery = 6;

constexpr char kSlidingName[] = "sliding_attention";
constexpr char kGlobalName[] = "full_attention";

const char* NameOf(LayerKind kind) {
  return kind == LayerKind::kSliding ? kSlidingName : kGlobalName;
}

void RefuseWhatIsNotBuilt(FieldReader& text) {
  if (text.Bool("attention_bias", false)) {
    text.Fail("attention_bias", "false (biases are not supported)");
  }
  if (text.String("hidden_activation", "gelu_pytorch_tanh") !=
      "gelu_pytorch_tanh") {
    text.Fail("hidden_activation", "\"gelu_pytorch_tanh\"");
  }
  const std::string bidirectional =
      text.String("use_bidirectional_attention", "vision");
  if (bidirectional != "vision") {
    text.Fail("use_bidirectional_attention", "null or \"vision\"");
  }
}

std::vector<LayerKind> ReadLayerKinds(FieldReader& text, int num_layers) {
  std::vector<LayerKind> kinds(num_layers, LayerKind::kSliding);
  const json* types = text.Find("layer_types");
  if (types == nullptr) {
    for (int i = kDefaultGlobalEvery - 1; i < num_layers;
         i += kDefaultGlobalEvery) {
      kinds[i] = LayerKind::kGlobal;
    }
  } else if (!types->is_array() ||
             types->size() != static_cast<size_t>(num_layers)) {
    text.Fail(
        "layer_types",
        absl::StrCat("a list of num_hidden_layers = ", num_layers, " names"));
    return kinds;
  } else {
    for (int i = 0; i < num_layers; ++i) {
      const json& type = (*types)[i];
      if (type == kGlobalName) {
        kinds[i] = LayerKind::kGlobal;
      } else if (type != kSlidingName) {
        text.Fail("layer_types", absl::StrCat("\"", kSlidingName, "\" or \"",
                                              kGlobalName, "\" as entry ", i));
        return kinds;
      }
    }
  }
  kinds.back() = LayerKind::kGlobal;
  return kinds;
}

// Heads of each layer from head_dim, num_key_value_heads and one of two
// spellings of how global layers differ.
void ReadHeads(FieldReader& text, ModelConfig& config) {
  const int head_dim =
      static_cast<int>(text.Int("head_dim", 256, 2, kMaxHeadDim));
  const int kv_heads =
      static_cast<int>(text.Int("num_key_value_heads", 4, 1, kMaxHeads));
  const bool k_eq_v = text.Bool("attention_k_eq_v", false);
  const json* overrides = text.Object("per_layer_config");

  int global_head_dim = head_dim;
  int global_kv_heads = kv_heads;
  if (overrides == nullptr) {
    global_head_dim =
        static_cast<int>(text.Int("global_head_dim", 512, 2, kMaxHeadDim));
    const int64_t heads =
        text.Int("num_global_key_value_heads", kv_heads, 1, kMaxHeads);
    if (k_eq_v) global_kv_heads = static_cast<int>(heads);
  }
  for (LayerConfig& layer : config.layers) {
    const bool global = layer.kind == LayerKind::kGlobal;
    layer.head_dim = global ? global_head_dim : head_dim;
    layer.kv_heads = global ? global_kv_heads : kv_heads;
    layer.k_eq_v = global && k_eq_v;
  }
  if (overrides == nullptr) return;

  for (const auto& [key, entry] : overrides->items()) {
    int index = -1;
    if (!absl::SimpleAtoi(key, &index) || index < 0 ||
        index >= config.num_layers() || !entry.is_object()) {
      text.Fail(
          "per_layer_config",
          absl::StrCat("layer indices from 0 to ", config.num_layers() - 1,
                       " with an object each, not \"",
                       absl::string_view(key).substr(0, 40), "\""));
      return;
    }
    FieldReader fields(entry, absl::StrCat("per_layer_config.", key, "."));
    LayerConfig& layer = config.layers[index];
    layer.head_dim = static_cast<int>(
        fields.Int("head_dim", layer.head_dim, 2, kMaxHeadDim));
    layer.kv_heads = static_cast<int>(
        fields.Int("num_key_value_heads", layer.kv_heads, 1, kMaxHeads));
    for (const auto& [name, value] : entry.items()) {
      if (name != "head_dim" && name != "num_key_value_heads") {
        fields.Fail(name, "only head_dim and num_key_value_heads here");
      }
    }
    text.Adopt(fields.status());
  }
}

// The last layers of the model may read the K/V of the last owner of their kind
// before them.
void ReadSharedKv(FieldReader& text, ModelConfig& config) {
  const int num_layers = config.num_layers();
  const int sharing =
      static_cast<int>(text.Int("num_kv_shared_layers", 0, 0, num_layers - 1));
  const int first_sharing = num_layers - sharing;
  for (int i = 0; i < num_layers; ++i) config.layers[i].kv_source = i;
  for (int i = first_sharing; i < num_layers; ++i) {
    int source = first_sharing - 1;
    while (source >= 0 && config.layers[source].kind != config.layers[i].kind) {
      --source;
    }
    if (source < 0) {
      text.Fail(
          "num_kv_shared_layers",
          absl::StrCat("a ", NameOf(config.layers[i].kind),
                       " layer before layer ", first_sharing,
                       ", the first to share, for layer ", i, " to read from"));
      return;
    }
    config.layers[i].kv_source = source;
  }
}

void ReadMlpWidths(FieldReader& text, ModelConfig& config) {
  const int width = static_cast<int>(
      text.Int("intermediate_size", 9216, 1, kMaxIntermediate));
  const bool double_wide = text.Bool("use_double_wide_mlp", false);
  for (int i = 0; i < config.num_layers(); ++i) {
    const bool doubled = double_wide && !config.owns_kv(i);
    config.layers[i].intermediate_size = doubled ? 2 * width : width;
  }
}

// Layers of one kind share a page shape and a rotation, so their heads agree.
absl::Status CheckHeads(const ModelConfig& config) {
  for (int i = 0; i < config.num_layers(); ++i) {
    const LayerConfig& layer = config.layers[i];
    if (layer.head_dim % 2 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("head_dim of layer ", i, ": expected an even number, ",
                       "found ", layer.head_dim));
    }
    if (config.query_heads % layer.kv_heads != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "num_key_value_heads of layer ", i, ": expected a divisor of ",
          "num_attention_heads = ", config.query_heads, ", found ",
          layer.kv_heads));
    }
    for (int j = 0; j < i; ++j) {
      const LayerConfig& other = config.layers[j];
      if (other.kind != layer.kind) continue;
      if (other.head_dim != layer.head_dim ||
          other.kv_heads != layer.kv_heads) {
        return absl::InvalidArgumentError(absl::StrCat(
            "layers ", j, " and ", i, " are both ", NameOf(layer.kind),
            " but differ: head_dim ", other.head_dim, " and ", layer.head_dim,
            ", num_key_value_heads ", other.kv_heads, " and ", layer.kv_heads,
            "; expected the same on all layers of one kind"));
      }
      break;
    }
  }
  return absl::OkStatus();
}

RopeConfig ReadRope(const json& entry, LayerKind kind, int head_dim,
                    FieldReader& parent) {
  FieldReader fields(entry,
                     absl::StrCat("rope_parameters.", NameOf(kind), "."));
  const bool sliding = kind == LayerKind::kSliding;
  RopeConfig rope;
  rope.theta =
      fields.Number("rope_theta", sliding ? 10000.0 : 1000000.0, 1.0, 1e12);
  const std::string type =
      fields.String("rope_type", sliding ? "default" : "proportional");
  double rotated = 1.0;
  if (type == "proportional") {
    rotated = fields.Number("partial_rotary_factor", 1.0, 0.0, 1.0);
    rope.factor = fields.Number("factor", 1.0, 1e-6, 1e6);
  } else if (type == "default") {
    if (fields.Number("partial_rotary_factor", 1.0, 0.0, 1.0) != 1.0) {
      fields.Fail("partial_rotary_factor",
                  "1 with rope_type \"default\" (\"proportional\" may have "
                  "less)");
    }
  } else {
    fields.Fail("rope_type", "\"default\" or \"proportional\"");
  }
  rope.rotated_pairs = static_cast<int>(rotated * head_dim / 2);
  parent.Adopt(fields.status());
  return rope;
}

void ReadRopes(FieldReader& text, ModelConfig& config) {
  static const json* const kDefaults = new json{
      {kSlidingName, {{"rope_type", "default"}, {"rope_theta", 10000.0}}},
      {kGlobalName,
       {{"rope_type", "proportional"},
        {"partial_rotary_factor", 0.25},
        {"rope_theta", 1000000.0}}}};
  const json* parameters = text.Object("rope_parameters");
  if (parameters == nullptr) parameters = kDefaults;
  FieldReader kinds(*parameters, "rope_parameters.");
  if (kinds.Object(kSlidingName) == nullptr &&
      kinds.Object(kGlobalName) == nullptr) {
    text.Fail("rope_parameters", absl::StrCat("an object with ", kSlidingName,
                                              " and ", kGlobalName));
  }
  for (const LayerKind kind : {LayerKind::kSliding, LayerKind::kGlobal}) {
    int head_dim = 0;  // stays 0 where no layer is of this kind
    for (const LayerConfig& layer : config.layers) {
      if (layer.kind == kind) head_dim = layer.head_dim;
    }
    const json* entry = kinds.Object(NameOf(kind));
    if (entry == nullptr) entry = &(*kDefaults)[NameOf(kind)];
    RopeConfig& rope =
        kind == LayerKind::kSliding ? config.sliding_rope : config.global_rope;
    rope = ReadRope(*entry, kind, head_dim, text);
  }
  text.Adopt(kinds.status());
}

void ReadExperts(FieldReader& text, ModelConfig& config) {
  if (!text.Bool("enable_moe_block", false)) return;
  for (const char* name :
       {"num_experts", "top_k_experts", "moe_intermediate_size"}) {
    if (text.Find(name) == nullptr) {
      text.Fail(name, "a positive integer, since enable_moe_block is true");
      return;
    }
  }
  config.num_experts =
      static_cast<int>(text.Int("num_experts", 1, 1, kMaxExperts));
  config.experts_per_token =
      static_cast<int>(text.Int("top_k_experts", 1, 1, config.num_experts));
  config.expert_width = static_cast<int>(
      text.Int("moe_intermediate_size", 1, 1, kMaxExpertWidth));
}

void ReadPerLayerEmbeddings(FieldReader& text, ModelConfig& config) {
  // Missing means 256, an explicit null means off.
  const int64_t missing =
      text.Mentions("hidden_size_per_layer_input") ? 0 : 256;
  config.per_layer_width = static_cast<int>(
      text.Int("hidden_size_per_layer_input", missing, 0, kMaxPerLayerWidth));
  if (config.per_layer_width == 0) return;
  config.per_layer_vocab_size =
      text.Int("vocab_size_per_layer_input", 262144, 1, kMaxVocab);
}

// A media placeholder: -1 where the vocabulary ends before the default id.
int ReadPlaceholder(FieldReader& top, const char* name, int64_t default_id,
                    int64_t vocab_size) {
  const int64_t missing = default_id < vocab_size ? default_id : -1;
  return static_cast<int>(top.Int(name, missing, 0, vocab_size - 1));
}

// The fields of text_config, which in a text-only export is the whole file.
absl::Status ReadTextConfig(FieldReader& text, ModelConfig& config) {
  RefuseWhatIsNotBuilt(text);
  config.vocab_size = text.Int("vocab_size", 262144, 1, kMaxVocab);
  config.hidden_size =
      static_cast<int>(text.Int("hidden_size", 2304, 1, kMaxHidden));
  config.query_heads =
      static_cast<int>(text.Int("num_attention_heads", 8, 1, kMaxHeads));
  config.sliding_window =
      static_cast<int>(text.Int("sliding_window", 512, 1, kMaxPositions));
  config.max_position_embeddings =
      text.Int("max_position_embeddings", 131072, 1, kMaxPositions);
  config.rms_norm_eps =
      static_cast<float>(text.Number("rms_norm_eps", 1e-6, 1e-30, 1.0));
  config.final_logit_softcapping =
      static_cast<float>(text.Number("final_logit_softcapping", 0, 0, 1e6));
  config.bidirectional_media =
      text.Find("use_bidirectional_attention") != nullptr;
  config.tie_word_embeddings = text.Bool("tie_word_embeddings", true);

  const int64_t last_token = config.vocab_size - 1;
  config.pad_token_id =
      static_cast<int>(text.Int("pad_token_id", 0, 0, last_token));
  config.bos_token_id =
      static_cast<int>(text.Int("bos_token_id", 2, 0, last_token));
  config.eos_token_ids =
      text.IntOrList("eos_token_id", {1}, 0, last_token, kMaxEosTokens);

  const int num_layers =
      static_cast<int>(text.Int("num_hidden_layers", 30, 1, kMaxLayers));
  config.layers.resize(num_layers);
  const std::vector<LayerKind> kinds = ReadLayerKinds(text, num_layers);
  for (int i = 0; i < num_layers; ++i) config.layers[i].kind = kinds[i];
  ReadHeads(text, config);
  ReadSharedKv(text, config);
  ReadMlpWidths(text, config);
  FACET_RETURN_IF_ERROR(text.status());
  FACET_RETURN_IF_ERROR(CheckHeads(config));
  ReadRopes(text, config);
  ReadExperts(text, config);
  ReadPerLayerEmbeddings(text, config);
  return text.status();
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view text) {
  FACET_ASSIGN_OR_RETURN(const json document, ParseJsonObject(text));
  FieldReader top(document, "");
  const std::string model_type = top.String("model_type", "");
  ModelConfig config;
  if (model_type == "gemma4_text") {
    config.tensor_prefix = "model.";
    FACET_RETURN_IF_ERROR(ReadTextConfig(top, config));
    return config;
  }
  if (model_type != "gemma4") {
    top.Fail("model_type", "\"gemma4\" or \"gemma4_text\"");
    return top.status();
  }

  config.tensor_prefix = "model.language_model.";
  const json* text_config = top.Object("text_config");
  if (text_config == nullptr) {
    top.Fail("text_config", "an object");
    return top.status();
  }
  FieldReader inner(*text_config, "text_config.");
  FACET_RETURN_IF_ERROR(ReadTextConfig(inner, config));
  config.tie_word_embeddings =
      top.Bool("tie_word_embeddings", config.tie_word_embeddings);
  config.eos_token_ids = top.IntOrList("eos_token_id", config.eos_token_ids, 0,
                                       config.vocab_size - 1, kMaxEosTokens);
  config.image_token_id =
      ReadPlaceholder(top, "image_token_id", 258880, config.vocab_size);
  config.audio_token_id =
      ReadPlaceholder(top, "audio_token_id", 258881, config.vocab_size);
  config.video_token_id =
      ReadPlaceholder(top, "video_token_id", 258884, config.vocab_size);
  FACET_RETURN_IF_ERROR(top.status());
  return config;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  FACET_ASSIGN_OR_RETURN(const std::string text,
                         ReadTextFile(path, kMaxFileBytes));
  absl::StatusOr<ModelConfig> config = ParseModelConfig(text);
  if (!config.ok()) return Annotate(config.status(), path);
  return config;
}

absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(
    const std::string& directory) {
  const std::string path = directory + "/generation_config.json";
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxFileBytes);
  GenerationDefaults defaults;
  if (absl::IsNotFound(text.status())) return defaults;
  FACET_RETURN_IF_ERROR(text.status());
  const absl::StatusOr<json> document = ParseJsonObject(*text);
  if (!document.ok()) return Annotate(document.status(), path);
  FieldReader fields(*document, "");
  defaults.do_sample = fields.Bool("do_sample", false);
  defaults.temperature =
      static_cast<float>(fields.Number("temperature", 1.0, 0.0, 1000.0));
  defaults.top_k = static_cast<int>(fields.Int("top_k", 0, 0, kMaxVocab));
  defaults.top_p = static_cast<float>(fields.Number("top_p", 1.0, 1e-6, 1.0));
  defaults.eos_token_ids =
      fields.IntOrList("eos_token_id", {}, 0, kMaxVocab - 1, kMaxEosTokens);
  if (!fields.status().ok()) return Annotate(fields.status(), path);
  return defaults;
}

}  // namespace facet
