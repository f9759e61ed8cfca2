#include "runtime/checkpoint/synthetic_tokenizer.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/check.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

using nlohmann::json;

constexpr char kSpaceMark[] = "\xe2\x96\x81";  // U+2581 stands for a space
constexpr char kLetters[] = "etaoinshrdlcumwfgypbvkjxqz";
constexpr int kFirstOrdinaryId = 107;

// Special tokens at the ids that Gemma 4 gives them.
const std::vector<std::pair<int, const char*>>& SpecialTokens() {
  static const auto* const kTokens =
      new std::vector<std::pair<int, const char*>>{{0, "<pad>"},
                                                   {1, "<eos>"},
                                                   {2, "<bos>"},
                                                   {3, "<unk>"},
                                                   {4, "<mask>"},
                                                   {46, "<|tool>"},
                                                   {47, "<tool|>"},
                                                   {48, "<|tool_call>"},
                                                   {49, "<tool_call|>"},
                                                   {50, "<|tool_response>"},
                                                   {51, "<tool_response|>"},
                                                   {52, "<|\"|>"},
                                                   {98, "<|think|>"},
                                                   {100, "<|channel>"},
                                                   {101, "<channel|>"},
                                                   {105, "<|turn>"},
                                                   {106, "<turn|>"}};
  return *kTokens;
}

std::vector<std::string> BasePieces() {
  std::vector<std::string> pieces;
  for (int i = 0; i < kFirstOrdinaryId; ++i) {
    pieces.push_back(absl::StrCat("<unused", i, ">"));
  }
  for (const auto& [id, text] : SpecialTokens()) pieces[id] = text;
  pieces.push_back("\n");
  pieces.push_back(kSpaceMark);
  for (char c = '!'; c <= '~'; ++c) pieces.push_back(std::string(1, c));
  for (int byte = 0; byte < 256; ++byte) {
    pieces.push_back(absl::StrFormat("<0x%02X>", byte));
  }
  return pieces;
}

}  // namespace

std::string SyntheticTokenizerJson(int64_t vocab_size) {
  FACET_CHECK(vocab_size >= kMinSyntheticVocab);
  const auto size = static_cast<size_t>(vocab_size);
  std::vector<std::string> pieces = BasePieces();
  json merges = json::array();
  // Every piece is an earlier piece and one letter, shorter pieces first.
  std::vector<std::string> level = {kSpaceMark};
  for (const char* c = kLetters; *c != '\0'; ++c) {
    level.push_back(std::string(1, *c));
  }
  while (pieces.size() < size) {
    std::vector<std::string> longer;
    for (const std::string& prefix : level) {
      for (const char* c = kLetters; *c != '\0' && pieces.size() < size; ++c) {
        longer.push_back(prefix + *c);
        pieces.push_back(longer.back());
        merges.push_back({prefix, std::string(1, *c)});
      }
    }
    level = std::move(longer);
  }
  json vocab = json::object();
  for (size_t id = 0; id < pieces.size(); ++id) vocab[pieces[id]] = id;
  FACET_CHECK(vocab.size() == size);

  json added = json::array();
  for (const auto& [id, text] : SpecialTokens()) {
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const json space = {{"String", " "}};
  const json mark = {{"String", kSpaceMark}};
  const json document = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer",
       {{"type", "Replace"}, {"pattern", space}, {"content", kSpaceMark}}},
      {"pre_tokenizer",
       {{"type", "Split"},
        {"pattern", space},
        {"behavior", "MergedWithPrevious"},
        {"invert", false}}},
      {"post_processor", nullptr},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         json::array(
             {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}}})}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", "<unk>"},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"ignore_merges", false},
        {"vocab", std::move(vocab)},
        {"merges", std::move(merges)}}}};
  return document.dump();
}

}  // namespace facet
