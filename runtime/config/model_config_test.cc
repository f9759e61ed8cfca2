#include "runtime/config/model_config.h"

#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/config/json_fields.h"

namespace facet {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTestData[] = "runtime/config/testdata/";

std::string ReadPublished(const std::string& name) {
  return *ReadTextFile(kTestData + name + ".config.json", 1 << 20);
}

ModelConfig Published(const std::string& name) {
  absl::StatusOr<ModelConfig> config = ParseModelConfig(ReadPublished(name));
  EXPECT_TRUE(config.ok()) << name << ": " << config.status();
  return config.ok() ? *config : ModelConfig();
}

// A small text-only config that parses; tests change one thing about it.
json Small() {
  return {{"model_type", "gemma4_text"}, {"vocab_size", 1024},
          {"hidden_size", 96},           {"intermediate_size", 192},
          {"num_hidden_layers", 12},     {"num_attention_heads", 8},
          {"num_key_value_heads", 4},    {"head_dim", 16},
          {"global_head_dim", 32},       {"hidden_size_per_layer_input", 0}};
}

ModelConfig Parse(const json& document) {
  absl::StatusOr<ModelConfig> config = ParseModelConfig(document.dump());
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig();
}

std::string RefusalOf(const json& document) {
  const absl::StatusOr<ModelConfig> config = ParseModelConfig(document.dump());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(ModelConfigTest, E2BSharesKvOfTheLastOwnersAndWidensTheirMlp) {
  const ModelConfig config = Published("gemma-4-E2B");
  EXPECT_EQ(config.num_layers(), 35);
  EXPECT_EQ(config.hidden_size, 1536);
  EXPECT_EQ(config.per_layer_width, 256);
  EXPECT_EQ(config.per_layer_vocab_size, 262144);
  EXPECT_EQ(config.sliding_window, 512);
  EXPECT_EQ(config.num_experts, 0);
  EXPECT_FALSE(config.bidirectional_media);
  EXPECT_EQ(config.tensor_prefix, "model.language_model.");
  EXPECT_EQ(config.image_token_id, 258880);
  EXPECT_EQ(config.audio_token_id, 258881);
  EXPECT_EQ(config.video_token_id, 258884);
  for (int i = 0; i < config.num_layers(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const bool global = i % 5 == 4;
    EXPECT_EQ(layer.kind, global ? LayerKind::kGlobal : LayerKind::kSliding);
    EXPECT_EQ(layer.head_dim, global ? 512 : 256) << i;
    EXPECT_EQ(layer.kv_heads, 1) << i;
    EXPECT_FALSE(layer.k_eq_v) << i;
    EXPECT_EQ(layer.kv_source, i < 15 ? i : global ? 14 : 13) << i;
    EXPECT_EQ(layer.intermediate_size, i < 15 ? 6144 : 12288) << i;
  }
}

TEST(ModelConfigTest, E4BSharesKvAndKeepsItsMlpWidth) {
  const ModelConfig config = Published("gemma-4-E4B");
  ASSERT_EQ(config.num_layers(), 42);
  for (int i = 0; i < config.num_layers(); ++i) {
    const bool global = i % 6 == 5;
    EXPECT_EQ(config.layers[i].kv_source, i < 24 ? i : global ? 23 : 22) << i;
    EXPECT_EQ(config.layers[i].intermediate_size, 10240) << i;
    EXPECT_EQ(config.layers[i].kv_heads, 2) << i;
  }
}

TEST(ModelConfigTest, TheLargeDenseModelHasFewerAndWiderGlobalKvHeads) {
  const ModelConfig config = Published("gemma-4-31B");
  ASSERT_EQ(config.num_layers(), 60);
  EXPECT_TRUE(config.bidirectional_media);
  EXPECT_EQ(config.per_layer_width, 0);
  for (int i = 0; i < config.num_layers(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const bool global = i % 6 == 5;
    EXPECT_EQ(layer.head_dim, global ? 512 : 256) << i;
    EXPECT_EQ(layer.kv_heads, global ? 4 : 16) << i;
    EXPECT_EQ(layer.k_eq_v, global) << i;
    EXPECT_TRUE(config.owns_kv(i)) << i;
  }
  EXPECT_EQ(config.sliding_rope.theta, 10000.0);
  EXPECT_EQ(config.sliding_rope.rotated_pairs, 128);
  EXPECT_EQ(config.global_rope.theta, 1000000.0);
  EXPECT_EQ(config.global_rope.rotated_pairs, 64);
  EXPECT_EQ(config.final_logit_softcapping, 30.0f);
}

TEST(ModelConfigTest, MixturesOfExpertsParseAtAnySize) {
  const ModelConfig published = Published("gemma-4-26B-A4B");
  EXPECT_EQ(published.num_experts, 128);
  EXPECT_EQ(published.experts_per_token, 8);
  EXPECT_EQ(published.expert_width, 704);
  EXPECT_EQ(published.layers[0].intermediate_size, 2112);
  EXPECT_EQ(published.layers[5].kv_heads, 2);
  const ModelConfig larger = Published("hypothetical-120B-A15B");
  EXPECT_EQ(larger.num_experts, 184);
  EXPECT_EQ(larger.num_layers(), 48);
  EXPECT_EQ(larger.expert_width, 1024);
}

TEST(ModelConfigTest, BothSpellingsOfGlobalHeadsGiveTheSameLayers) {
  for (const bool k_eq_v : {false, true}) {
    json keys = Small();
    keys["attention_k_eq_v"] = k_eq_v;
    keys["num_global_key_value_heads"] = 2;
    json map = Small();
    map["attention_k_eq_v"] = k_eq_v;
    map.erase("global_head_dim");
    json override = {{"head_dim", 32}};
    if (k_eq_v) override["num_key_value_heads"] = 2;
    map["per_layer_config"] = {{"05", override}, {"11", override}};
    const ModelConfig a = Parse(keys);
    const ModelConfig b = Parse(map);
    for (int i = 0; i < 12; ++i) {
      EXPECT_EQ(a.layers[i].head_dim, b.layers[i].head_dim) << i;
      EXPECT_EQ(a.layers[i].kv_heads, b.layers[i].kv_heads) << i;
      EXPECT_EQ(a.layers[i].kv_heads, i % 6 == 5 && k_eq_v ? 2 : 4) << i;
    }
  }
}

TEST(ModelConfigTest, PerLayerConfigReplacesTheGlobalKeysEntirely) {
  json document = Small();
  document["attention_k_eq_v"] = true;
  document["num_global_key_value_heads"] = 1;
  document["per_layer_config"] = json::object();
  const ModelConfig config = Parse(document);
  for (const LayerConfig& layer : config.layers) {
    EXPECT_EQ(layer.head_dim, 16);
    EXPECT_EQ(layer.kv_heads, 4);
  }
}

TEST(ModelConfigTest, PerLayerWidthAbsentMeans256AndNullMeansOff) {
  json document = Small();
  EXPECT_EQ(Parse(document).per_layer_width, 0);
  document["hidden_size_per_layer_input"] = nullptr;
  EXPECT_EQ(Parse(document).per_layer_width, 0);
  document.erase("hidden_size_per_layer_input");
  EXPECT_EQ(Parse(document).per_layer_width, 256);
}

TEST(ModelConfigTest, MissingFieldsTakeTheDefaultsOfTheFamily) {
  const ModelConfig config = Parse({{"model_type", "gemma4_text"}});
  EXPECT_EQ(config.vocab_size, 262144);
  EXPECT_EQ(config.hidden_size, 2304);
  EXPECT_EQ(config.query_heads, 8);
  EXPECT_EQ(config.sliding_window, 512);
  EXPECT_EQ(config.max_position_embeddings, 131072);
  EXPECT_EQ(config.final_logit_softcapping, 0);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.tensor_prefix, "model.");
  EXPECT_THAT(config.eos_token_ids, ElementsAre(1));
  EXPECT_EQ(config.image_token_id, -1);
  ASSERT_EQ(config.num_layers(), 30);
  for (int i = 0; i < 30; ++i) {
    const LayerConfig& layer = config.layers[i];
    EXPECT_EQ(layer.kind == LayerKind::kGlobal, i % 6 == 5) << i;
    EXPECT_EQ(layer.head_dim, i % 6 == 5 ? 512 : 256) << i;
    EXPECT_EQ(layer.kv_heads, 4) << i;
    EXPECT_EQ(layer.intermediate_size, 9216) << i;
  }
  EXPECT_EQ(config.global_rope.rotated_pairs, 64);
}

TEST(ModelConfigTest, TheLastLayerIsAlwaysGlobal) {
  json document = Small();
  document["num_hidden_layers"] = 3;
  EXPECT_EQ(Parse(document).layers[2].kind, LayerKind::kGlobal);
  document["layer_types"] = {"full_attention", "sliding_attention",
                             "sliding_attention"};
  const ModelConfig config = Parse(document);
  EXPECT_EQ(config.layers[0].kind, LayerKind::kGlobal);
  EXPECT_EQ(config.layers[1].kind, LayerKind::kSliding);
  EXPECT_EQ(config.layers[2].kind, LayerKind::kGlobal);
}

TEST(ModelConfigTest, EosIsAnIntegerOrAListAndTheTopLevelWins) {
  json document = Small();
  document["eos_token_id"] = {1, 106, 50};
  EXPECT_THAT(Parse(document).eos_token_ids, ElementsAre(1, 106, 50));
  json full = {{"model_type", "gemma4"}, {"text_config", Small()}};
  full["text_config"]["eos_token_id"] = 7;
  EXPECT_THAT(Parse(full).eos_token_ids, ElementsAre(7));
  full["eos_token_id"] = {3, 4};
  EXPECT_THAT(Parse(full).eos_token_ids, ElementsAre(3, 4));
}

TEST(ModelConfigTest, PlaceholdersBeyondTheVocabularyAreAbsent) {
  json full = {{"model_type", "gemma4"}, {"text_config", Small()}};
  EXPECT_EQ(Parse(full).image_token_id, -1);
  full["image_token_id"] = 1019;
  EXPECT_EQ(Parse(full).image_token_id, 1019);
}

TEST(ModelConfigTest, RopeReadsThetaShareAndFactor) {
  json document = Small();
  document["rope_parameters"] = {
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 500}}},
      {"full_attention",
       {{"rope_type", "proportional"},
        {"partial_rotary_factor", 0.5},
        {"rope_theta", 2e6},
        {"factor", 8}}}};
  const ModelConfig config = Parse(document);
  EXPECT_EQ(config.sliding_rope.theta, 500);
  EXPECT_EQ(config.sliding_rope.rotated_pairs, 8);
  EXPECT_EQ(config.global_rope.theta, 2e6);
  EXPECT_EQ(config.global_rope.rotated_pairs, 8);
  EXPECT_EQ(config.global_rope.factor, 8);
}

TEST(ModelConfigTest, RefusalNamesFieldValueAndWhatIsLegal) {
  struct Case {
    std::string field;
    json value;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {"model_type", "gemma3", "\"gemma4\" or \"gemma4_text\", found \"gemma3"},
      {"model_type", "gemma4_unified", "\"gemma4\" or \"gemma4_text\""},
      {"vocab_size", 0, "an integer from 1 to 16777216, found 0"},
      {"vocab_size", 1e9, "found 1000000000.0"},
      {"vocab_size", 18446744073709551615u, "found 18446744073709551615"},
      {"hidden_size", "96", "an integer from 1 to 131072, found \"96\""},
      {"hidden_size", -96, "found -96"},
      {"num_hidden_layers", 1000000000, "from 1 to 1024"},
      {"num_attention_heads", 7, "divisor of num_attention_heads = 7"},
      {"num_key_value_heads", 3, "divisor of num_attention_heads = 8"},
      {"head_dim", 15, "an even number, found 15"},
      {"head_dim", json::array({1}), "found a list of 1"},
      {"layer_types", {"full_attention"}, "num_hidden_layers = 12"},
      {"layer_types", std::vector<std::string>(12, "linear"), "as entry 0"},
      {"intermediate_size", 0, "from 1 to"},
      {"sliding_window", 0, "from 1 to"},
      {"rms_norm_eps", 0, "a number from 1e-30 to 1, found 0"},
      {"rms_norm_eps", "small", "found \"small\""},
      {"final_logit_softcapping", -1, "found -1"},
      {"tie_word_embeddings", 1, "true or false, found 1"},
      {"attention_bias", true, "biases are not supported"},
      {"hidden_activation", "silu", "gelu_pytorch_tanh"},
      {"use_bidirectional_attention", "all", "null or \"vision\""},
      {"num_kv_shared_layers", 12, "from 0 to 11"},
      {"num_kv_shared_layers", 8, "a full_attention layer before layer 4"},
      {"hidden_size_per_layer_input", -1, "from 0 to"},
      {"enable_moe_block", true, "since enable_moe_block is true"},
      {"eos_token_id", 1024, "from 0 to 1023"},
      {"eos_token_id", json::array({1, "two"}), "a list of at most 64"},
      {"pad_token_id", -1, "from 0 to 1023"},
      {"per_layer_config", {{"12", json::object()}}, "from 0 to 11"},
      {"per_layer_config", {{"x", json::object()}}, "from 0 to 11"},
      {"per_layer_config", {{"5", 7}}, "an object each"},
      {"per_layer_config", {{"5", {{"window", 7}}}}, "only head_dim"},
      {"per_layer_config", {{"5", {{"head_dim", 32}}}}, "layers 5 and 11"},
      {"rope_parameters", {{"rope_theta", 1}}, "sliding_attention"},
      {"rope_parameters",
       {{"full_attention", {{"rope_type", "yarn"}}}},
       "\"default\" or \"proportional\", found \"yarn\""},
      {"rope_parameters", {{"full_attention", {{"rope_theta", 0}}}}, "found 0"},
  };
  for (const Case& c : cases) {
    json document = Small();
    document[c.field] = c.value;
    const std::string message = RefusalOf(document);
    EXPECT_THAT(message, HasSubstr(c.expected)) << c.field;
    if (c.expected.find("layers 5") == std::string::npos &&
        c.field != "enable_moe_block" && c.field != "num_attention_heads") {
      EXPECT_THAT(message, HasSubstr(c.field));
    }
  }
}

TEST(ModelConfigTest, ExpertsNeedAllThreeNumbers) {
  json document = Small();
  document["enable_moe_block"] = true;
  document["num_experts"] = 8;
  document["top_k_experts"] = 9;
  document["moe_intermediate_size"] = 32;
  EXPECT_THAT(RefusalOf(document),
              HasSubstr("top_k_experts: expected an integer from 1 to 8"));
  document["top_k_experts"] = 2;
  EXPECT_EQ(Parse(document).num_experts, 8);
  document.erase("moe_intermediate_size");
  EXPECT_THAT(RefusalOf(document), HasSubstr("moe_intermediate_size"));
}

TEST(ModelConfigTest, NestedErrorsNameThePath) {
  json full = {{"model_type", "gemma4"}, {"text_config", Small()}};
  full["text_config"]["hidden_size"] = 0;
  EXPECT_THAT(RefusalOf(full), HasSubstr("text_config.hidden_size"));
  full.erase("text_config");
  EXPECT_THAT(RefusalOf(full), HasSubstr("text_config: expected an object"));
}

TEST(ModelConfigTest, WhatIsNotAJsonObjectIsRefused) {
  for (const std::string text :
       {"", "{", "[1]", "nul", "\xff\xfe{}", "{\"a\":1}x"}) {
    EXPECT_EQ(ParseModelConfig(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  // Nesting costs no stack.
  EXPECT_FALSE(ParseModelConfig(std::string(1 << 20, '[')).ok());
}

// Damaged text is refused or read, never a crash. Bytes change one by one, so
// most inputs stay close to valid.
TEST(ModelConfigTest, RandomDamageNeverCrashes) {
  std::mt19937 random(20240607);
  const std::vector<std::string> originals = {ReadPublished("gemma-4-E2B"),
                                              ReadPublished("gemma-4-26B-A4B"),
                                              Small().dump()};
  static constexpr char kAlphabet[] = "0123456789-+.eE\"{}[],:ntf \\u\xff";
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    // The small one is damaged most: it takes the least time.
    std::string text = originals[i % 20 < 18 ? 2 : i % 2];
    const int edits = 1 + static_cast<int>(random() % 3);
    for (int e = 0; e < edits; ++e) {
      const size_t at = random() % text.size();
      const char byte = kAlphabet[random() % (sizeof(kAlphabet) - 1)];
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1 + random() % 4, byte);
          break;
        default:
          text.erase(at, 1 + random() % 8);
      }
      if (text.empty()) text = "{";
    }
    accepted += ParseModelConfig(text).ok();
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 19900);
}

TEST(ReadModelConfigTest, AMissingFileIsNamed) {
  const absl::Status status = ReadModelConfig("/no/such").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/config.json"));
}

class GenerationDefaultsTest : public testing::Test {
 protected:
  absl::StatusOr<GenerationDefaults> ReadWith(const std::string& text) {
    std::ofstream(testing::TempDir() + "/generation_config.json") << text;
    return ReadGenerationDefaults(testing::TempDir());
  }
};

TEST_F(GenerationDefaultsTest, ReadsWhatTheInstructionTunedModelsShip) {
  const auto defaults = ReadWith(
      R"({"do_sample": true, "temperature": 1.0, "top_k": 64, "top_p": 0.95,
          "eos_token_id": [1, 106, 50], "pad_token_id": 0})");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_TRUE(defaults->do_sample);
  EXPECT_EQ(defaults->top_k, 64);
  EXPECT_FLOAT_EQ(defaults->top_p, 0.95f);
  EXPECT_THAT(defaults->eos_token_ids, ElementsAre(1, 106, 50));
}

TEST_F(GenerationDefaultsTest, EveryFieldIsOptionalAndSoIsTheFile) {
  const auto empty = ReadWith("{}");
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_FALSE(empty->do_sample);
  EXPECT_TRUE(empty->eos_token_ids.empty());
  EXPECT_TRUE(ReadGenerationDefaults("/no/such").ok());
}

TEST_F(GenerationDefaultsTest, MalformedValuesNameFileAndField) {
  const auto status = ReadWith(R"({"top_p": 2})").status();
  EXPECT_THAT(status.message(), HasSubstr("generation_config.json: top_p"));
  EXPECT_FALSE(ReadWith("{").ok());
}

}  // namespace
}  // namespace facet
