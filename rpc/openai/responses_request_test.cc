#include "rpc/openai/responses_request.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace facet {
namespace {

ApiJson Messages(const char* input, const std::string& instructions = "") {
  const auto messages = MessagesOfInput(ApiJson::parse(input), instructions);
  EXPECT_TRUE(messages.ok()) << messages.status();
  return messages.ok() ? *messages : ApiJson();
}

TEST(ResponsesRequestTest, ATextIsAUsersMessage) {
  EXPECT_EQ(Messages(R"("Hello")", "Be brief."), ApiJson::parse(R"([
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Hello"}])"));
}

TEST(ResponsesRequestTest, ThoughtsCallsAndTextOfOneTurnAreOneMessage) {
  EXPECT_EQ(Messages(R"([
      {"role": "user", "content": [{"type": "input_text", "text": "a"},
                                   {"type": "input_text", "text": "b"}]},
      {"type": "reasoning", "id": "r", "summary": [],
       "content": [{"type": "reasoning_text", "text": "hm"}]},
      {"type": "function_call", "call_id": "1", "name": "f",
       "arguments": "{\"x\": 1}"},
      {"type": "function_call", "call_id": "2", "name": "g",
       "arguments": ""},
      {"type": "function_call_output", "call_id": "1", "output": "one"},
      {"type": "function_call_output", "call_id": "2", "output": "two"},
      {"type": "message", "role": "assistant", "status": "completed",
       "content": [{"type": "output_text", "text": "done",
                    "annotations": []}]}])"),
            ApiJson::parse(R"([
      {"role": "user", "content": "ab"},
      {"role": "assistant", "reasoning_content": "hm", "tool_calls": [
        {"id": "1", "type": "function",
         "function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "2", "type": "function",
         "function": {"name": "g", "arguments": {}}}]},
      {"role": "tool", "tool_call_id": "1", "content": "one"},
      {"role": "tool", "tool_call_id": "2", "content": "two"},
      {"role": "assistant", "content": "done"}])"));
}

TEST(ResponsesRequestTest, OtherItemsAreRefusedByTheirPlace) {
  const auto refused = [](const char* input, const char* beginning) {
    const absl::Status status =
        MessagesOfInput(ApiJson::parse(input), "").status();
    EXPECT_TRUE(absl::StartsWith(status.message(), beginning)) << status;
  };
  refused(R"([{"type": "item_reference", "id": "x"}])", "input[0].type: ");
  refused(R"([{"role": "user", "content": [{"type": "input_image"}]}])",
          "input[0].content[0].type: ");
  refused(R"([{"type": "function_call", "name": "f"}])",
          "input[0].call_id: missing");
  refused(R"([])", "input: ");
}

TEST(ResponsesRequestTest, WhatNeedsStorageIsRefused) {
  for (const char* field :
       {R"("store": true)", R"("previous_response_id": "r")",
        R"("background": true)", R"("conversation": "c")"}) {
    EXPECT_FALSE(
        ParseResponsesRequest(absl::StrCat(R"({"input": "x", )", field, "}"))
            .ok())
        << field;
  }
}

TEST(ResponsesRequestTest, FormatLengthAndEffortReachTheFrontDoor) {
  const auto request = ParseResponsesRequest(R"({"input": "x",
      "max_output_tokens": 5, "reasoning": {"effort": "high"},
      "text": {"format": {"type": "json_schema", "name": "n",
                          "schema": {"type": "null"}}},
      "tools": [{"type": "function", "name": "f", "parameters": {}}],
      "include": ["message.output_text.logprobs"], "top_logprobs": 2})");
  ASSERT_TRUE(request.ok()) << request.status();
  const TextRequest& text = request->fields.text;
  EXPECT_EQ(text.max_tokens, 5);
  EXPECT_EQ(text.enable_thinking, true);
  EXPECT_EQ(text.format.text, R"({"type":"null"})");
  EXPECT_EQ(text.sampling.top_logprobs, 2);
  EXPECT_TRUE(request->logprobs);
  EXPECT_EQ(request->tools.tools[0]["function"]["name"], "f");
  EXPECT_EQ(request->echo["max_output_tokens"], 5);
  EXPECT_EQ(request->echo["store"], false);
}

}  // namespace
}  // namespace facet
