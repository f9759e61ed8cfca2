// The demo model's text files against its evaluation, whose prompts and ids the
// reference implementation made.
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "runtime/chat/chat_format.h"
#include "runtime/chat/encode_chat.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

constexpr char kDirectory[] = "deploy/demo-model";

std::vector<ChatJson> Evaluation() {
  std::ifstream file(std::string(kDirectory) + "/eval.jsonl");
  std::vector<ChatJson> items;
  for (std::string line; std::getline(file, line);) {
    items.push_back(ChatJson::parse(line));
  }
  return items;
}

ChatJson ConversationOf(const ChatJson& item) {
  ChatJson conversation;
  for (const char* name : {"messages", "tools", "enable_thinking"}) {
    if (item.contains(name)) conversation[name] = item[name];
  }
  return conversation;
}

TEST(DemoModelTest, ItsTemplateIsOneOfTheCurrentFormat) {
  const auto format = DetectChatFormat(kDirectory);
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_EQ(*format, ChatFormat::kCurrent);
}

TEST(DemoModelTest, EveryPromptOfItsEvaluationIsReproduced) {
  int prompts = 0;
  for (const ChatJson& item : Evaluation()) {
    const auto prompt = RenderChat(ChatFormat::kCurrent, ConversationOf(item));
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    // The evaluation shows a picture as its processor brackets it.
    EXPECT_EQ(*prompt,
              absl::StrReplaceAll(item["prompt"].get<std::string>(),
                                  {{"<|image><|image|><image|>", "<|image|>"}}))
        << item["id"];
    ++prompts;
  }
  EXPECT_EQ(prompts, 434);
}

TEST(DemoModelTest, EveryTextPromptBecomesItsTokens) {
  const auto tokenizer = Tokenizer::Load(kDirectory);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 3072);
  int prompts = 0;
  for (const ChatJson& item : Evaluation()) {
    const auto output = item["output_tokens"].get<std::vector<int32_t>>();
    EXPECT_EQ(*(*tokenizer)->Decode(output, /*skip_special=*/false),
              item["output_text"].get<std::string>());
    // A picture's placeholder is one token here and many in prompt_tokens.
    if (item.contains("images") && !item["images"].empty()) continue;
    const auto ids =
        EncodeChat(ChatFormat::kCurrent, ConversationOf(item), **tokenizer);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, item["prompt_tokens"].get<std::vector<int32_t>>())
        << item["id"];
    ++prompts;
  }
  EXPECT_GT(prompts, 350);
}

}  // namespace
}  // namespace facet
