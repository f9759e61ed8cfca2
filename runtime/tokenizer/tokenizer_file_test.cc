#include "runtime/tokenizer/tokenizer_file.h"

#include <fstream>
#include <iterator>
#include <random>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

const std::string& GoldenText() {
  static const std::string* text = [] {
    std::ifstream file("tests/testdata/tokenizer/tokenizer.json");
    return new std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return *text;
}

// The golden file with the value at `pointer` replaced.
absl::Status With(const std::string& pointer, const Json& value) {
  Json file = Json::parse(GoldenText());
  file[Json::json_pointer(pointer)] = value;
  return ParseTokenizerFile(file.dump()).status();
}

void ExpectRefusal(const absl::Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_NE(status.message().find(field), absl::string_view::npos) << status;
}

TEST(TokenizerFileTest, RefusalsNameTheField) {
  const Json strip = {{"type", "Strip"}};
  const struct {
    const char* pointer;
    Json value;
    const char* field;
  } kCases[] = {
      {"/normalizer", nullptr, "normalizer"},
      {"/normalizer", {{"type", "NFC"}}, "normalizer"},
      {"/normalizer/content", "_", "normalizer"},
      {"/normalizer/pattern", {{"Regex", " "}}, "normalizer"},
      {"/pre_tokenizer", {{"type", "ByteLevel"}}, "pre_tokenizer"},
      {"/pre_tokenizer/pattern/String", "a", "pre_tokenizer"},
      {"/pre_tokenizer/invert", true, "pre_tokenizer"},
      {"/post_processor", {{"type", "BertProcessing"}}, "post_processor"},
      {"/post_processor/single", Json::array(), "post_processor.single"},
      {"/post_processor/single", 3, "post_processor"},
      {"/post_processor/single/0",
       {{"SpecialToken", {{"id", "<bos>"}}}},
       "post_processor.special_tokens"},
      {"/decoder", nullptr, "decoder"},
      {"/decoder", {{"type", "WordPiece"}}, "decoder"},
      {"/decoder/decoders/2", strip, "decoder"},
      {"/decoder/decoders/0", strip, "decoder"},
      {"/model", nullptr, "model"},
      {"/model/type", "Unigram", "model.type"},
      {"/model/type", 1, "model.type"},
      {"/model/byte_fallback", false, "model.byte_fallback"},
      {"/model/dropout", 0.1, "model.dropout"},
      {"/model/ignore_merges", true, "model.ignore_merges"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix"},
      {"/model/continuing_subword_prefix", "##",
       "model.continuing_subword_prefix"},
      {"/model/vocab", Json::array(), "model.vocab"},
      {"/model/vocab/a", "x", "model.vocab[\"a\"]"},
      {"/model/vocab/a", -1, "model.vocab"},
      {"/model/vocab/a", 1e9, "model.vocab[\"a\"]"},
      {"/model/vocab/a", 1000000000, "model.vocab"},
      {"/model/vocab/a", 7, "model.vocab"},
      {"/model/vocab/<0x41>", 3, "model.vocab"},
      {"/model/vocab/", 2000, "model.vocab"},
      {"/model/merges", nullptr, "model.merges"},
      {"/model/merges/3", Json::array({"a"}), "model.merges[3]"},
      {"/model/merges/3", Json::array({"a", 1}), "model.merges[3]"},
      {"/model/merges/3", "a b c", "model.merges[3]"},
      {"/model/merges/3", "ab", "model.merges[3]"},
      {"/model/merges/3", {"a", "no such token"}, "model.merges[3]"},
      {"/model/merges/3", 5, "model.merges[3]"},
      {"/added_tokens", "none", "added_tokens"},
      {"/added_tokens/1", 5, "added_tokens[1]"},
      {"/added_tokens/1/id", 2, "added_tokens[1]"},
      {"/added_tokens/1/id", -2, "added_tokens[1]"},
      {"/added_tokens/1/content", "", "added_tokens[1]"},
      {"/added_tokens/1/lstrip", true, "added_tokens[1].lstrip"},
      {"/added_tokens/1/rstrip", true, "added_tokens[1].rstrip"},
      {"/added_tokens/1/single_word", true, "added_tokens[1].single_word"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(std::string(c.pointer) + " = " + c.value.dump());
    ExpectRefusal(With(c.pointer, c.value), c.field);
  }
}

TEST(TokenizerFileTest, AMissingByteTokenIsRefused) {
  Json file = Json::parse(GoldenText());
  file["model"]["vocab"].erase("<0xE2>");
  ExpectRefusal(ParseTokenizerFile(file.dump()).status(), "<0xE2>");
}

TEST(TokenizerFileTest, OptionalPartsMayBeMissing) {
  for (const char* name : {"added_tokens", "pre_tokenizer", "post_processor",
                           "truncation", "padding"}) {
    Json file = Json::parse(GoldenText());
    file[name] = nullptr;
    EXPECT_TRUE(ParseTokenizerFile(file.dump()).ok()) << name;
    file.erase(name);
    EXPECT_TRUE(ParseTokenizerFile(file.dump()).ok()) << name;
  }
}

TEST(TokenizerFileTest, MergesMayBeWrittenAsOneString) {
  Json file = Json::parse(GoldenText());
  const auto expected = ParseTokenizerFile(file.dump());
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (Json& merge : file["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const auto parsed = ParseTokenizerFile(file.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->merges.size(), expected->merges.size());
  for (size_t i = 0; i < parsed->merges.size(); ++i) {
    EXPECT_EQ(parsed->merges[i].merged, expected->merges[i].merged);
  }
}

TEST(TokenizerFileTest, PostProcessorMaySurroundTheText) {
  Json file = Json::parse(GoldenText());
  Json& processor = file["post_processor"];
  const Json bos = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const Json eos = {{"SpecialToken", {{"id", "<eos>"}, {"type_id", 0}}}};
  processor["single"].insert(processor["single"].begin(), bos);
  processor["single"].push_back(eos);
  processor["special_tokens"] = {{"<bos>", {{"ids", {2}}}},
                                 {"<eos>", {{"ids", {1, 1}}}}};
  const auto parsed = ParseTokenizerFile(file.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->prefix, std::vector<int32_t>{2});
  EXPECT_EQ(parsed->suffix, (std::vector<int32_t>{1, 1}));
  processor["special_tokens"]["<eos>"]["ids"] = {4096};
  ExpectRefusal(ParseTokenizerFile(file.dump()).status(),
                "post_processor.special_tokens");
}

TEST(TokenizerFileTest, ASpecialTokenNeverComesFromMerging) {
  Json file = Json::parse(GoldenText());
  const auto before = ParseTokenizerFile(file.dump());
  ASSERT_TRUE(before.ok());
  file["model"]["vocab"]["<bo"] = 1024;
  file["model"]["vocab"]["s>"] = 1025;
  file["model"]["merges"].push_back({"<bo", "s>"});
  const auto parsed = ParseTokenizerFile(file.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->merges.size(), before->merges.size());
}

TEST(TokenizerFileTest, BrokenFilesAreRefusedWithoutACrash) {
  const std::string& text = GoldenText();
  for (const char* json : {"", " ", "[]", "3", "null", "{}", "{", "\"\xFF\""}) {
    EXPECT_EQ(ParseTokenizerFile(json).status().code(),
              absl::StatusCode::kInvalidArgument)
        << json;
  }
  for (size_t size = 0; size < text.size(); size += 997) {
    EXPECT_FALSE(ParseTokenizerFile(text.substr(0, size)).ok()) << size;
  }
  std::string nested(100000, '[');
  EXPECT_FALSE(ParseTokenizerFile(nested).ok());
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = text;
    for (int i = 1 + random() % 3; i > 0; --i) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    // Accepted or refused, whichever the damage allows; never a crash.
    (void)ParseTokenizerFile(damaged).ok();
  }
}

}  // namespace
}  // namespace facet
