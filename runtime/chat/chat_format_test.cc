#include "runtime/chat/chat_format.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

const std::map<std::string, ChatFormat>& FormatsOfGoldens() {
  static const auto* formats = new std::map<std::string, ChatFormat>{
      {"gemma4.jinja", ChatFormat::kOriginal},
      {"google-gemma-4-31B-it-interleaved.jinja", ChatFormat::kInterleaved},
      {"google-gemma-4-31B-it.jinja", ChatFormat::kCurrent}};
  return *formats;
}

constexpr ChatFormat kFormats[] = {
    ChatFormat::kOriginal, ChatFormat::kInterleaved, ChatFormat::kCurrent};

ChatJson Conversation(const char* json) {
  ChatJson conversation = ChatJson::parse(json, nullptr, false);
  EXPECT_FALSE(conversation.is_discarded()) << json;
  return conversation;
}

TEST(ChatFormatTest, RendersEveryGoldenConversation) {
  std::ifstream file("tests/testdata/chat/chat_golden.json");
  const ChatJson golden = ChatJson::parse(file);
  int rendered = 0;
  for (const ChatJson& item : golden["conversations"]) {
    ChatJson conversation = item["kwargs"];
    for (const char* name : {"messages", "tools", "add_generation_prompt"}) {
      conversation[name] = item[name];
    }
    for (const auto& [name, format] : FormatsOfGoldens()) {
      SCOPED_TRACE(absl::StrCat(item["name"].get<std::string>(), ", ", name));
      const auto text = RenderChat(format, conversation);
      const ChatJson& expected = item["rendered"][name];
      if (expected.is_null()) {
        EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
      } else {
        ASSERT_TRUE(text.ok()) << text.status();
        EXPECT_EQ(*text, expected.get<std::string>());
      }
      ++rendered;
    }
  }
  EXPECT_GE(rendered, 135);
}

// What a template makes of odd input, as Jinja makes it.
TEST(ChatFormatTest, OddInputRendersAsTheTemplateDoes) {
  const struct {
    const char* conversation;
    const char* text;  // of the current format, without <bos>
  } kCases[] = {
      {R"({"messages": [{"role": "user", "content": null}],
           "add_generation_prompt": false})",
       "<|turn>user\n<turn|>\n"},
      {R"({"messages": [{"role": "system",
            "content": [{"type": "text", "text": "it's"}]}],
           "add_generation_prompt": false})",
       "<|turn>system\n[{'type': 'text', 'text': \"it's\"}]<turn|>\n"},
      {R"({"messages": [{"role": "user",
            "content": [{"type": "text", "text": 1e20}, 7, "x"]}],
           "add_generation_prompt": false})",
       "<|turn>user\n1e+20<turn|>\n"},
      {R"({"messages": [{"role": "user", "content": "x"}],
           "tools": [{"function": {"name": "f", "description": null,
             "parameters": {"properties": {"p": {"type": ["string", "null"]}},
                            "required": "pq"}}}],
           "add_generation_prompt": false})",
       "<|turn>system\n<|tool>declaration:f{description:<|\"|>None<|\"|>,"
       "parameters:{properties:{p:{type:<|\"|>['STRING', 'NULL']<|\"|>}},"
       "required:[<|\"|>p<|\"|>,<|\"|>q<|\"|>],}<tool|><turn|>\n"
       "<|turn>user\nx<turn|>\n"},
  };
  for (const auto& c : kCases) {
    const auto text =
        RenderChat(ChatFormat::kCurrent, Conversation(c.conversation));
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, absl::StrCat("<bos>", c.text));
  }
}

TEST(ChatFormatTest, RefusalsNameTheMessageAndField) {
  const struct {
    const char* conversation;
    const char* field;
  } kCases[] = {
      {"[]", "conversation"},
      {"{}", "messages"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": {}})", "messages"},
      {R"({"messages": "hi"})", "messages"},
      {R"({"messages": ["hi"]})", "messages[0].role"},
      {R"({"messages": [{"content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": 3, "content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "user", "content": "x"},
           {"role": "assistant", "tool_calls": [{"function": {}}]}]})",
       "messages[1].tool_calls[0].function.name"},
      {R"({"messages": [{"role": "assistant", "tool_calls": 1}]})",
       "messages[0].tool_calls"},
      {R"({"messages": [{"role": "assistant", "content":
           [{"type": "text"}]}]})",
       "messages[0].content[0].text"},
      {R"({"messages": [{"role": "assistant", "tool_responses":
           [{"name": 5}]}]})",
       "messages[0].tool_responses[0].name"},
      {R"({"messages": [{"role": "user"}], "tools": [{"name": "f"}]})",
       "tools[0].function"},
      {R"({"messages": [{"role": "user"}], "tools": [{"function":
           {"parameters": {"properties": ["a"]}}}]})",
       "tools[0].function.parameters.properties"},
      {R"({"messages": [{"role": "user"}], "tools": [{"function":
           {"parameters": {"properties": {"a": {"type": "array", "items":
           {"required": 5}}}}}}]})",
       "tools[0].function.parameters.properties.a.items.required"},
  };
  for (const auto& c : kCases) {
    for (ChatFormat format : kFormats) {
      const auto status =
          RenderChat(format, Conversation(c.conversation)).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(status.message().find(absl::StrCat(c.field, ":")), 0u)
          << status;
    }
  }
}

TEST(ChatFormatTest, AToolMessageThatAnswersNoOneIsRefused) {
  const ChatJson conversation = Conversation(
      R"({"messages": [{"role": "user", "content": "x"},
          {"role": "assistant", "tool_calls": [{"id": "a",
           "function": {"name": "f", "arguments": {}}}]},
          {"role": "tool", "tool_call_id": "b", "content": "1"}]})");
  const auto status = RenderChat(ChatFormat::kCurrent, conversation).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("messages[2]:"), 0u) << status;
  EXPECT_TRUE(RenderChat(ChatFormat::kOriginal, conversation).ok());
}

TEST(ChatFormatTest, EndlessNestingIsRefused) {
  ChatJson deep = "x";
  for (int i = 0; i < 500; ++i) deep = ChatJson::array({deep});
  ChatJson conversation = Conversation(R"({"messages": [{"role": "user"}]})");
  conversation["messages"][0]["content"] = deep;
  for (ChatFormat format : kFormats) {
    EXPECT_EQ(RenderChat(format, conversation).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(ChatFormatTest, NamesReadBack) {
  for (ChatFormat format : kFormats) {
    const auto parsed = ParseChatFormat(Name(format));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, format);
  }
  for (const char* name : {"", "auto", "Current", "chatml"}) {
    EXPECT_EQ(ParseChatFormat(name).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

class DetectChatFormatTest : public testing::Test {
 protected:
  DetectChatFormatTest()
      : directory_(absl::StrCat(
            testing::TempDir(), "/",
            testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(directory_);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(absl::StrCat(directory_, "/", name)) << text;
  }
  const std::string directory_;
};

TEST_F(DetectChatFormatTest, ADirectoryWithoutTemplateIsABaseModel) {
  EXPECT_EQ(DetectChatFormat(directory_).status().code(),
            absl::StatusCode::kNotFound);
  for (const char* config :
       {"{}", "[]", "not json", R"({"chat_template": 1})",
        R"({"chat_template": [1, {}, {"name": "rag"}]})"}) {
    Write("tokenizer_config.json", config);
    EXPECT_EQ(DetectChatFormat(directory_).status().code(),
              absl::StatusCode::kNotFound)
        << config;
  }
}

TEST_F(DetectChatFormatTest, AnUnknownTemplateSaysHowToChoose) {
  for (const char* config :
       {R"({"chat_template": "{{ messages }}"})",
        R"({"chat_template": [{"name": "default", "template": "hi"}]})"}) {
    Write("tokenizer_config.json", config);
    const auto status = DetectChatFormat(directory_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find("--chat-format="), std::string::npos);
    EXPECT_NE(status.message().find("tokenizer_config.json"),
              std::string::npos);
  }
  // The file of its own counts first.
  Write("chat_template.jinja", "abc\n");
  const auto status = DetectChatFormat(directory_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(
      status.message().find("edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34"
                            "982ddf0efd18cb"),
      std::string::npos)
      << status;
}

std::string DemoTemplate() {
  std::ifstream file("deploy/demo-model/chat_template.jinja");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty());
  return text.str();
}

TEST_F(DetectChatFormatTest, HowLinesEndMakesNoDifference) {
  std::string text = DemoTemplate();
  for (int form = 0; form < 3; ++form) {
    if (form == 1) text = absl::StrReplaceAll(text, {{"\n", "\r\n"}});
    if (form == 2) text.erase(text.find_last_not_of("\r\n") + 1);
    Write("chat_template.jinja", text);
    const auto format = DetectChatFormat(directory_);
    ASSERT_TRUE(format.ok()) << format.status();
    EXPECT_EQ(*format, ChatFormat::kCurrent);
  }
}

TEST_F(DetectChatFormatTest, ATemplateThatDiffersIsRefusedWithWhatItResembles) {
  const std::string demo = DemoTemplate();
  const std::pair<std::string, const char*> kCases[] = {
      {absl::StrReplaceAll(demo, {{"<turn|>", "<turn|> "}}), "\"current\""},
      {absl::StrReplaceAll(demo, {{"tool_call_id", "id"}}), "\"interleaved\""},
      {"{{ '<|turn>user' + messages[0].content }}", "\"original\""},
      {"<|im_start|>{{ messages }}", "garbled"}};
  for (const auto& [text, said] : kCases) {
    Write("chat_template.jinja", text);
    const auto status = DetectChatFormat(directory_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find(said), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace facet
