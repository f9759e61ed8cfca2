#include "runtime/grammar/token_masks.h"

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/grammar/schema_validator.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

constexpr int32_t kStop = 1;

// The tokenizer of the demonstration model: 8 thousand tokens or so, all bytes
// among them.
const Tokenizer& DemoTokenizer() {
  static const Tokenizer* const tokenizer =
      Tokenizer::Load("deploy/demo-model").value().release();
  return *tokenizer;
}

std::shared_ptr<const TokenTrie> DemoTrie() {
  static const auto* const trie = new std::shared_ptr<const TokenTrie>(
      TokenTrie::ForTokenizer(DemoTokenizer(), {kStop}));
  return *trie;
}

const std::vector<GrammarPtr>& Grammars() {
  static const auto* const grammars = new std::vector<GrammarPtr>{
      CompileRegex("[a-z ]{3,40}(é|漢|😀)+[^x]*", {}).value(),
      CompileRegex("(?:\\d{1,3}\\.){3}\\d{1,3}", {}).value(),
      CompileEbnf("root ::= term (\" + \" term)*\n"
                  "term ::= [a-z]+ | \"(\" root \")\"",
                  {})
          .value(),
      CompileChoice({"red", "green", "grey", "blue", "blueish"}, {}).value(),
      CompileJsonObject().value(),
      CompileJsonSchema(
          R"({"type":"object","properties":{"name":{"type":"string",
          "minLength":3,"maxLength":12},"age":{"type":"integer","minimum":0,
          "maximum":130},"tags":{"type":"array","items":{"enum":["x","yes",
          "you"]},"maxItems":3},"more":{"type":"object",
          "additionalProperties":{"type":"number"}}},"required":["age"]})",
          {})
          .value(),
  };
  return *grammars;
}

// One random allowed token after the other; calls visit(matcher, mask) in every
// state. Returns the text, which is complete unless it ran out of `tokens`.
template <typename Visit>
std::string Walk(const GrammarPtr& grammar, int tokens, std::mt19937* random,
                 Visit visit) {
  const TokenTrie& trie = *DemoTrie();
  GrammarMatcher matcher(grammar);
  std::string text;
  for (int step = 0; step < tokens; ++step) {
    const TokenMask mask = ComputeTokenMask(trie, matcher).value();
    visit(matcher, mask);
    std::vector<int32_t> allowed, closing;
    for (int32_t id = 0; id < trie.vocab_size(); ++id) {
      if (!Allows(mask, id)) continue;
      allowed.push_back(id);
      const std::string bytes = TokenBytes(DemoTokenizer(), id);
      if (id == kStop || bytes.find_first_of("\"}]") != std::string::npos) {
        closing.push_back(id);
      }
    }
    if (allowed.empty()) return "dead end after " + text;
    const bool close = !closing.empty() && (*random)() % 3 == 0;
    const auto& from = close ? closing : allowed;
    const int32_t id = from[(*random)() % from.size()];
    if (id == kStop) break;
    const std::string bytes = TokenBytes(DemoTokenizer(), id);
    EXPECT_TRUE(matcher.Accept(bytes).ok()) << text << " then " << bytes;
    text += bytes;
  }
  return text;
}

// The mask is what trying every token would say.
TEST(TokenMask, EqualsTryingEveryToken) {
  const TokenTrie& trie = *DemoTrie();
  std::mt19937 random(3);
  for (const GrammarPtr& grammar : Grammars()) {
    int states = 0;
    Walk(grammar, 12, &random,
         [&](const GrammarMatcher& matcher, const TokenMask& mask) {
           ++states;
           for (int32_t id = 0; id < trie.vocab_size(); ++id) {
             bool expected = false;
             if (id == kStop) {
               expected = matcher.CanEnd();
             } else if (!DemoTokenizer().is_special(id)) {
               const std::string bytes = TokenBytes(DemoTokenizer(), id);
               GrammarMatcher copy = matcher;
               expected = !bytes.empty() && copy.Accept(bytes).ok();
             }
             ASSERT_EQ(Allows(mask, id), expected)
                 << "token " << id << " \"" << TokenBytes(DemoTokenizer(), id)
                 << '"';
           }
         });
    EXPECT_GT(states, 0);
  }
}

// Answers sampled under masks end, and are what the schema says.
TEST(TokenMask, LeadsToJsonThatSatisfiesTheSchema) {
  const auto schema = nlohmann::json::parse(R"({
    "type":"object",
    "properties":{
      "id":{"type":"string","pattern":"^[A-Z]{2}\\d{1,4}$"},
      "kind":{"enum":["a","b c",null,7]},
      "score":{"type":"number","minimum":-1.5,"exclusiveMaximum":20},
      "note":{"type":"string","maxLength":30},
      "list":{"type":"array","minItems":1,"maxItems":4,
              "items":{"$ref":"#/$defs/point"}},
      "any":{}},
    "required":["id","score","list"],
    "additionalProperties":false,
    "$defs":{"point":{"type":"object","properties":
      {"x":{"type":"integer"},"y":{"type":"boolean"}},"required":["x"]}}})");
  const GrammarPtr grammar = CompileJsonSchema(schema.dump(), {}).value();
  int ended = 0;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const std::string text =
        Walk(grammar, 400, &random, [](const auto&, const auto&) {});
    GrammarMatcher matcher(grammar);
    ASSERT_TRUE(matcher.Accept(text).ok()) << text;
    if (!matcher.CanEnd()) continue;
    ++ended;
    const auto value = nlohmann::json::parse(text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << "seed " << seed << ": " << text;
    EXPECT_EQ(WhyInvalid(schema, schema, value), "")
        << "seed " << seed << ": " << text;
  }
  EXPECT_GT(ended, 20);
}

TEST(TokenMask, HasStopIdsExactlyWhereTheTextMayEnd) {
  const GrammarPtr grammar = CompileRegex("ab?", {}).value();
  GrammarMatcher matcher(grammar);
  EXPECT_FALSE(Allows(*ComputeTokenMask(*DemoTrie(), matcher), kStop));
  ASSERT_TRUE(matcher.Accept("a").ok());
  EXPECT_TRUE(Allows(*ComputeTokenMask(*DemoTrie(), matcher), kStop));
  ASSERT_TRUE(matcher.Accept("b").ok());
  ASSERT_TRUE(matcher.IsFinished());
  const TokenMask mask = ComputeTokenMask(*DemoTrie(), matcher).value();
  for (int32_t id = 0; id < DemoTrie()->vocab_size(); ++id) {
    EXPECT_EQ(Allows(mask, id), id == kStop) << id;
  }
}

TEST(TokenTrie, KeepsEveryTokenButSpecialAndExcludedOnes) {
  const std::vector<std::string> bytes = {"a", "",  "ab",
                                          "a", "b", std::string(300, 'x')};
  const TokenTrie trie(bytes, {1, 99});
  EXPECT_EQ(trie.vocab_size(), 6);
  EXPECT_EQ(trie.max_token_bytes(), 2);
  ASSERT_EQ(trie.stop_ids().size(), 1u);
  ASSERT_EQ(trie.nodes().size(), 3u);
  EXPECT_EQ(trie.TokensIn(0, 1).size(), 2u);  // "a", twice
  EXPECT_EQ(trie.TokensIn(1, 2)[0], 2);
  EXPECT_EQ(trie.nodes()[0].end, 2u);
  const auto excluding =
      TokenTrie::ForTokenizer(DemoTokenizer(), {kStop}, {300});
  for (size_t i = 0; i < excluding->nodes().size(); ++i) {
    for (const int32_t id : excluding->TokensIn(i, i + 1)) {
      EXPECT_NE(id, 300);
      EXPECT_NE(id, kStop);
      EXPECT_FALSE(DemoTokenizer().is_special(id));
    }
  }
}

TEST(MaskCache, AnswersFromMemoryAndForgetsTheOldest) {
  const GrammarPtr grammar = CompileRegex("[a-c]{1,3}x", {}).value();
  GrammarMatcher matcher(grammar);
  MaskCache cache(DemoTrie(), 1 << 20);
  const auto first = cache.MaskFor(matcher).value();
  EXPECT_EQ(cache.MaskFor(matcher).value(), first);
  EXPECT_EQ(cache.stats().hits, 1);
  EXPECT_EQ(cache.stats().misses, 1);
  EXPECT_EQ(cache.stats().entries, 1);

  MaskCache small(DemoTrie(), cache.stats().bytes * 5 / 2);  // two masks
  GrammarMatcher second = matcher, third = matcher;
  ASSERT_TRUE(second.Accept("a").ok());
  ASSERT_TRUE(third.Accept("ab").ok());
  for (const GrammarMatcher* m : {&matcher, &second, &matcher, &third}) {
    ASSERT_TRUE(small.MaskFor(*m).ok());
  }
  EXPECT_EQ(small.stats().entries, 2);
  ASSERT_TRUE(small.MaskFor(matcher).ok());  // the second left
  EXPECT_EQ(small.stats().hits, 2);
  ASSERT_TRUE(small.MaskFor(second).ok());
  EXPECT_EQ(small.stats().misses, 4);
}

// Two grammars in the same state do not share masks.
TEST(MaskCache, TellsGrammarsApart) {
  MaskCache cache(DemoTrie(), 1 << 20);
  const GrammarPtr x = CompileRegex("a", {}).value();
  const GrammarPtr y = CompileRegex("b", {}).value();
  const auto mask_x = cache.MaskFor(GrammarMatcher(x)).value();
  const auto mask_y = cache.MaskFor(GrammarMatcher(y)).value();
  EXPECT_NE(*mask_x, *mask_y);
}

TEST(MaskCache, MayBeSharedByThreads) {
  MaskCache cache(DemoTrie(), 200'000);
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&cache, seed] {
      std::mt19937 random(seed);
      Walk(Grammars()[5], 40, &random,
           [&](const GrammarMatcher& matcher, const TokenMask& mask) {
             EXPECT_EQ(*cache.MaskFor(matcher).value(), mask);
           });
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A grammar that can be read in very many ways ends in an error, soon.
TEST(TokenMask, RefusesWhatIsTooAmbiguous) {
  const auto grammar = CompileRegex("((a|b|ab|ba){1,300}c?){20,300}", {});
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  GrammarMatcher matcher(*grammar);
  absl::Status status;
  for (int i = 0; i < 400 && status.ok(); ++i) {
    status = matcher.Accept("ab");
    if (status.ok() && i % 50 == 0) {
      status = ComputeTokenMask(*DemoTrie(), matcher).status();
    }
  }
  if (!status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }
}

}  // namespace
}  // namespace facet
