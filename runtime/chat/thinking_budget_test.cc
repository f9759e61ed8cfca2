#include "runtime/chat/thinking_budget.h"

#include <string>

#include "gtest/gtest.h"

namespace facet {
namespace {

const Tokenizer& TestTokenizer() {
  static const Tokenizer& tokenizer = []() -> const Tokenizer& {
    auto loaded = Tokenizer::Load("tests/testdata/tokenizer");
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *loaded->release();
  }();
  return tokenizer;
}

std::vector<int32_t> Ids(const std::string& text) {
  return *TestTokenizer().Encode(text, EncodeOptions());
}

// What comes of a model that wants to say `wish`, when forced tokens take the
// place of its own.
std::string Said(const std::string& prompt, const std::string& wish,
                 int64_t max_tokens) {
  ThinkingBudget budget(&TestTokenizer(), Ids(prompt), max_tokens);
  std::vector<int32_t> said;
  const std::vector<int32_t> wishes = Ids(wish);
  for (size_t i = 0; i < wishes.size();) {
    const std::optional<int32_t> forced = budget.Forced();
    said.push_back(forced.value_or(wishes[i]));
    budget.Take(said.back());
    if (!forced.has_value() || *forced == wishes[i]) {
      ++i;
    } else if (*forced == *TestTokenizer().TokenId("<channel|>")) {
      // Goes on with what it meant to say behind its thought.
      while (i < wishes.size() && wishes[i] != *forced) ++i;
      ++i;
    }
  }
  EXPECT_LE(budget.spent(), max_tokens);
  return *TestTokenizer().Decode(said, /*skip_special=*/false);
}

TEST(ThinkingBudgetTest, AThoughtWithinItsBudgetIsLeftAlone) {
  const std::string wish = "<|channel>thought\na b c\n<channel|>Yes.";
  EXPECT_EQ(Said("<|turn>model\n", wish, 100), wish);
}

TEST(ThinkingBudgetTest, ASpentBudgetEndsTheLineAndTheThought) {
  const std::string wish = "<|channel>thought\nx\ny\nzzz\n<channel|>Yes.";
  EXPECT_EQ(Said("<|turn>model\n", wish, 0),
            "<|channel>thought\n<channel|>Yes.");
  EXPECT_EQ(Said("<|turn>model\n", wish, 1),
            "<|channel>thought\nx\n<channel|>Yes.");
  EXPECT_EQ(Said("<|turn>model\n", wish, 2),
            "<|channel>thought\nx\n<channel|>Yes.");
  EXPECT_EQ(Said("<|turn>model\n", wish, 3),
            "<|channel>thought\nx\ny\n<channel|>Yes.");
}

TEST(ThinkingBudgetTest, AThoughtThatThePromptOpenedCountsFromItsEnd) {
  EXPECT_EQ(Said("<|channel>thought\nlong before", "x\ny<channel|>Yes.", 0),
            "\n<channel|>Yes.");
  EXPECT_EQ(Said("<|channel>thought\n", "x\ny<channel|>Yes.", 1),
            "x\n<channel|>Yes.");
  EXPECT_EQ(Said("<|channel>thought\n<channel|>", "Yes.", 0), "Yes.");
}

TEST(ThinkingBudgetTest, ThoughtsShareTheBudgetAndAnswersSpendNone) {
  const std::string wish =
      "<|channel>thought\nx\n<channel|>Yes, a long answer."
      "<|channel>thought\nx\n<channel|>No.";
  EXPECT_EQ(Said("<|turn>model\n", wish, 2),
            "<|channel>thought\nx\n<channel|>Yes, a long answer."
            "<|channel>thought\n<channel|>No.");
}

}  // namespace
}  // namespace facet
