#include "rpc/openai/chat_request.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace facet {
namespace {

// A body with one message and these fields.
std::string Body(const std::string& fields) {
  return absl::StrCat(R"({"messages": [{"role": "user", "content": "Hello"}])",
                      fields.empty() ? "" : ", ", fields, "}");
}

ChatRequest Parsed(const std::string& fields) {
  const auto request = ParseChatRequest(Body(fields));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? *request : ChatRequest();
}

void ExpectRefused(const std::string& body, const std::string& beginning) {
  const absl::Status status = ParseChatRequest(body).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(), beginning))
      << status << "\nexpected " << beginning;
}

TEST(ChatRequestTest, SamplingFieldsReachTheFrontDoor) {
  const ChatRequest request = Parsed(
      R"("temperature": 0.5, "top_p": 0.25, "top_k": -1, "min_p": 0.125,
         "seed": -1, "presence_penalty": 1, "frequency_penalty": -1,
         "repetition_penalty": 1.5, "logit_bias": {"7": -2.5}, "stop": "x",
         "stop_token_ids": [3, 4], "ignore_eos": true, "min_tokens": 2,
         "max_tokens": 9, "n": 3, "best_of": 5, "priority": -4,
         "cache_salt": "s", "timeout_seconds": 1.5, "logprobs": true,
         "top_logprobs": 6, "prompt_logprobs": 0)");
  const TextRequest& text = request.fields.text;
  EXPECT_EQ(text.sampling.temperature, 0.5f);
  EXPECT_EQ(text.sampling.top_p, 0.25f);
  EXPECT_EQ(text.sampling.top_k, 0);
  EXPECT_EQ(text.sampling.min_p, 0.125f);
  EXPECT_EQ(text.sampling.seed, ~uint64_t{0});
  EXPECT_EQ(text.sampling.presence_penalty, 1);
  EXPECT_EQ(text.sampling.frequency_penalty, -1);
  EXPECT_EQ(text.sampling.repetition_penalty, 1.5f);
  ASSERT_EQ(text.sampling.logit_bias.size(), 1u);
  EXPECT_EQ(text.sampling.logit_bias[0].token, 7);
  EXPECT_EQ(text.sampling.logit_bias[0].bias, -2.5f);
  EXPECT_EQ(text.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(text.stop_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_TRUE(text.ignore_eos);
  EXPECT_EQ(text.min_tokens, 2);
  EXPECT_EQ(text.max_tokens, 9);
  EXPECT_EQ(text.n, 3);
  EXPECT_EQ(text.best_of, 5);
  EXPECT_EQ(text.priority, -4);
  EXPECT_EQ(text.cache_salt, "s");
  EXPECT_EQ(text.timeout_s, 1.5);
  EXPECT_TRUE(text.sampling.logprobs);
  EXPECT_EQ(text.sampling.top_logprobs, 6);
  EXPECT_EQ(text.prompt_logprobs, 0);
}

TEST(ChatRequestTest, AbsentSamplingFieldsAreLeftToTheModel) {
  const ChatRequest request = Parsed("");
  const TextRequest& text = request.fields.text;
  EXPECT_FALSE(text.sampling.temperature.has_value());
  EXPECT_FALSE(text.sampling.seed.has_value());
  EXPECT_FALSE(text.max_tokens.has_value());
  EXPECT_FALSE(text.enable_thinking.has_value());
  EXPECT_EQ(text.format.kind, OutputKind::kFree);
  EXPECT_FALSE(request.fields.stream);
}

TEST(ChatRequestTest, ThinkingIsAskedForInThreeWaysThatMustAgree) {
  EXPECT_EQ(Parsed(R"("reasoning_effort": "low")").fields.text.enable_thinking,
            true);
  EXPECT_EQ(Parsed(R"("reasoning_effort": "none")").fields.text.enable_thinking,
            false);
  EXPECT_EQ(Parsed(R"("enable_thinking": true)").fields.text.enable_thinking,
            true);
  EXPECT_EQ(Parsed(R"("chat_template_kwargs": {"enable_thinking": true})")
                .fields.text.enable_thinking,
            true);
  ExpectRefused(Body(R"("reasoning_effort": "none", "enable_thinking": true)"),
                "reasoning_effort: contradicts");
  ExpectRefused(Body(R"("chat_template_kwargs": {"other": 1})"),
                "chat_template_kwargs.other: unknown field");
}

TEST(ChatRequestTest, AnAnswerHasOneForm) {
  EXPECT_EQ(Parsed(R"("response_format": {"type": "json_object"})")
                .fields.text.format.kind,
            OutputKind::kJsonObject);
  const OutputFormat schema =
      Parsed(R"("response_format": {"type": "json_schema", "json_schema":
                {"name": "a", "schema": {"type": "null"}}})")
          .fields.text.format;
  EXPECT_EQ(schema.kind, OutputKind::kJsonSchema);
  EXPECT_EQ(schema.text, R"({"type":"null"})");
  EXPECT_EQ(
      Parsed(R"("structured_outputs": {"regex": "a"})").fields.text.format.kind,
      OutputKind::kRegex);
  EXPECT_EQ(Parsed(R"("guided_choice": ["a", "b"])").fields.text.format.choices,
            (std::vector<std::string>{"a", "b"}));
  ExpectRefused(
      Body(
          R"("guided_regex": "a", "response_format": {"type": "json_object"})"),
      "response_format: an answer has one form");
  ExpectRefused(
      Body(R"("structured_outputs": {"regex": "a", "choice": ["b"]})"),
      "structured_outputs: expected one of");
  ExpectRefused(Body(R"("response_format": {"type": "xml"})"),
                "response_format.type: ");
}

TEST(ChatRequestTest, StreamOptionsNeedAStream) {
  const ChatRequest request =
      Parsed(R"("stream": true, "stream_options": {"include_usage": true})");
  EXPECT_TRUE(request.fields.include_usage);
  ExpectRefused(Body(R"("stream_options": {"include_usage": true})"),
                "stream_options: ");
}

TEST(ChatRequestTest, ArgumentsOfCallsInHistoryBecomeObjects) {
  const auto request = ParseChatRequest(R"({"messages": [
      {"role": "assistant", "content": null, "tool_calls": [{"id": "c",
       "type": "function", "function": {"name": "f",
       "arguments": "{\"b\": 1, \"a\": [null]}"}}]},
      {"role": "tool", "tool_call_id": "c", "content": "done"}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(absl::StrContains(request->fields.text.text,
                                R"("arguments":{"b":1,"a":[null]})"))
      << request->fields.text.text;
}

TEST(ChatRequestTest, WhatIsWrongInAConversationIsNamedByItsPlace) {
  ExpectRefused(R"({"messages": []})", "messages: expected a list");
  ExpectRefused(R"({})", "messages: missing");
  ExpectRefused(R"({"messages": [{"role": "me", "content": "x"}]})",
                "messages[0].role: ");
  ExpectRefused(R"({"messages": [{"role": "user"}]})",
                "messages[0].content: missing");
  ExpectRefused(R"({"messages": [{"role": "user", "content": 7}]})",
                "messages[0].content: expected a string");
  ExpectRefused(R"({"messages": [{"role": "user", "content": "x", "z": 1}]})",
                "messages[0].z: unknown field");
  ExpectRefused(
      R"({"messages": [{"role": "user", "content": [
          {"type": "image_url", "image_url": {"url": ""}}]}]})",
      "messages[0].content[0].type: \"image_url\" is not supported");
  ExpectRefused(
      R"({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]})",
      "messages[0].tool_calls: only the assistant");
  ExpectRefused(
      R"({"messages": [{"role": "assistant", "tool_calls": [{"id": "c",
          "function": {"name": "f", "arguments": "no JSON"}}]}]})",
      "messages[0].tool_calls[0].function.arguments: ");
}

TEST(ChatRequestTest, ToolsAreCheckedAndChosenAmong) {
  const std::string tools =
      R"("tools": [{"type": "function", "function": {"name": "f"}}])";
  EXPECT_EQ(Parsed(tools).tools.choice, ToolUse::Choice::kAuto);
  const ChatRequest named = Parsed(
      tools +
      R"(, "tool_choice": {"type": "function", "function": {"name": "f"}})");
  EXPECT_EQ(named.tools.choice, ToolUse::Choice::kNamed);
  EXPECT_EQ(named.tools.name, "f");
  EXPECT_FALSE(
      Parsed(tools + R"(, "parallel_tool_calls": false)").tools.parallel);
  ExpectRefused(Body(tools + R"(, "tool_choice": {"type": "function",
                       "function": {"name": "g"}})"),
                "tool_choice: there is no tool \"g\"");
  ExpectRefused(Body(R"("tool_choice": "required")"), "tool_choice: ");
  ExpectRefused(
      Body(R"("tools": [{"type": "function", "function": {"name": "f g"}}])"),
      "tools[0].function.name: ");
  ExpectRefused(
      Body(R"("tools": [{"type": "function", "function": {"name": "f"}},
                        {"type": "function", "function": {"name": "f"}}])"),
      "tools[1].function.name: \"f\" is declared twice");
}

TEST(ChatRequestTest, BodiesThatAreNoObjectsAreRefused) {
  for (const char* body :
       {"", "{", "[]", "7", "\xff", R"({"n": 1, "n": 1})", "{\"n\": 1}x"}) {
    EXPECT_EQ(ParseChatRequest(body).status().code(),
              absl::StatusCode::kInvalidArgument)
        << body;
  }
  const std::string deep =
      "{\"messages\": " + std::string(5000, '[') + std::string(5000, ']') + "}";
  EXPECT_TRUE(absl::StrContains(ParseChatRequest(deep).status().message(),
                                "nested deeper"));
}

}  // namespace
}  // namespace facet
