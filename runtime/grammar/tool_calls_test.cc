#include "runtime/grammar/tool_calls.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/answer_parser.h"
#include "runtime/grammar/control_bytes.h"
#include "runtime/grammar/schema_validator.h"
#include "runtime/grammar/testing.h"
#include "runtime/grammar/token_masks.h"

namespace facet {
namespace {

using Json = nlohmann::json;

GrammarPtr Compile(const std::vector<CallableTool>& tools,
                   const ToolCallOptions& options) {
  auto grammar = CompileToolCalls(tools, options, {});
  EXPECT_TRUE(grammar.ok()) << grammar.status();
  return grammar.ok() ? *grammar : nullptr;
}

// `text` with its control tokens as bytes.
std::string Bytes(std::string text) {
  const std::pair<std::string, char> kTokens[] = {
      {"<|tool_call>", kCallOpenByte},
      {"<tool_call|>", kCallCloseByte},
      {kStringMarker, kStringMarkerByte}};
  for (const auto& [token, byte] : kTokens) {
    for (size_t at; (at = text.find(token)) != std::string::npos;) {
      text.replace(at, token.size(), 1, byte);
    }
  }
  return text;
}

struct Said {
  std::string content;
  std::vector<std::string> names;
  std::vector<std::string> arguments;
};

// What a text of a grammar says, read as an answer is.
Said Read(const std::string& bytes) {
  AnswerParser parser;
  std::vector<AnswerEvent> events;
  AnswerPart part{PartKind::kAnswer, "", true};
  const auto flush = [&] {
    if (!part.text.empty()) parser.Push(part, &events);
    part.text.clear();
    part.begins = false;
  };
  for (const char c : bytes) {
    if (!IsControlByte(c)) {
      part.text += c;
      continue;
    }
    flush();
    if (c == kStringMarkerByte) {
      parser.Push({part.kind, kStringMarker, false, true}, &events);
    } else {
      part.kind = c == kCallOpenByte ? PartKind::kToolCall : PartKind::kAnswer;
      part.begins = true;
    }
  }
  flush();
  parser.Finish(&events);
  Said said;
  for (const AnswerEvent& event : events) {
    if (event.kind == AnswerEventKind::kContent) said.content += event.text;
    if (event.kind == AnswerEventKind::kCallBegin) {
      said.names.push_back(event.text);
      said.arguments.emplace_back();
    }
    if (event.kind == AnswerEventKind::kArguments) {
      said.arguments.back() += event.text;
    }
    EXPECT_FALSE(event.malformed) << bytes;
  }
  return said;
}

const std::vector<CallableTool>& Tools() {
  static const auto* const tools = new std::vector<CallableTool>{
      {"weather", R"({"type": "object", "properties": {
          "Unit": {"enum": ["C", "F", null, 3, {"a b": [true, "x:y"]}]},
          "city": {"type": "string"}, "b": {"type": "integer"},
          "A": {"type": "array", "items": {"type": "number"}, "minItems": 1}},
          "required": ["city"]})"},
      {"tree", R"({"$defs": {"node": {"type": "object", "properties": {
          "value": {"type": ["string", "null"], "maxLength": 5},
          "children": {"type": "array", "items": {"$ref": "#/$defs/node"},
                       "maxItems": 2}}, "required": ["value"]}},
          "$ref": "#/$defs/node"})"},
      {"odd", R"({"properties": {
          "a:b": {"type": "boolean"}, " x": {"const": "}\n"}, "": {"const": 1},
          "größe": {"type": "integer", "minimum": -3, "maximum": 120}},
          "required": ["a:b", " x", ""],
          "additionalProperties": {"type": "integer"}})"},
      {"text", R"({"type": "object", "properties": {
          "date": {"type": "string", "format": "date"},
          "code": {"type": "string", "pattern": "^[\"\\\\\n]{2}|x+$"},
          "either": {"anyOf": [{"type": "string", "minLength": 3},
                               {"type": "object"}]}},
          "required": ["either", "date", "code"]})"},
      {"keys", R"({"type": "object", "patternProperties":
          {"^[a-c:]{1,3}$": {"type": "null"}}, "additionalProperties": false})"},
      {"named", R"({"type": "object", "propertyNames": {"maxLength": 4},
          "minProperties": 1, "maxProperties": 3})"},
      {"free", ""},
      {"loose", R"({"type": "object", "required": ["never"]})", false},
      {"any", "true"}};
  return *tools;
}

// The schema that arguments of `tool` satisfy.
Json SchemaOf(const CallableTool& tool) {
  if (tool.parameters.empty() || !tool.strict) return {{"type", "object"}};
  return Json::parse(tool.parameters);
}

void ExpectValid(const Said& said) {
  for (size_t i = 0; i < said.names.size(); ++i) {
    const auto tool =
        std::find_if(Tools().begin(), Tools().end(),
                     [&](const auto& t) { return t.name == said.names[i]; });
    ASSERT_NE(tool, Tools().end()) << said.names[i];
    const Json arguments = Json::parse(said.arguments[i], nullptr, false);
    ASSERT_TRUE(arguments.is_object()) << said.arguments[i];
    const Json schema = SchemaOf(*tool);
    EXPECT_EQ(WhyInvalid(schema, schema, arguments), "")
        << tool->name << ": " << said.arguments[i];
  }
}

TEST(ToolCallsTest, ArgumentsSatisfyTheirSchemas) {
  std::mt19937 random(4);
  for (const CallableTool& tool : Tools()) {
    const GrammarPtr grammar =
        Compile({tool}, {.required = true, .parallel = false});
    for (int run = 0; run < 40; ++run) {
      const std::string text = RandomText(grammar, 40, &random);
      if (!Matches(grammar, text)) continue;  // cut off
      const Said said = Read(text);
      EXPECT_GE(said.names.size(), 1) << text;
      EXPECT_EQ(said.content, "");
      ExpectValid(said);
    }
  }
}

TEST(ToolCallsTest, CallsAreWrittenAsModelsSeeThem) {
  const GrammarPtr grammar = Compile(Tools(), {.required = true});
  const auto matches = [&](const std::string& text) {
    return Matches(grammar, Bytes(text));
  };
  // Keys by name, letter case ignored; strings between their tokens.
  EXPECT_TRUE(
      matches("<|tool_call>call:weather{A:[1,2.5],b:3,city:<|\"|>O\"s}\nlo"
              "<|\"|>,Unit:None}<tool_call|>"));
  EXPECT_TRUE(
      matches("<|tool_call>call:weather{city:<|\"|><|\"|>,"
              "Unit:{a b:[true,<|\"|>x:y<|\"|>]}}<tool_call|>"));
  EXPECT_TRUE(
      matches("<|tool_call>call:free{x:{y:[None,{}]}}<tool_call|>"
              "<|tool_call>call:tree{value:None}<tool_call|>"));
  EXPECT_TRUE(matches(
      "<|tool_call>call:odd{<|\"|><|\"|>:1,<|\"|> x<|\"|>:<|\"|>}\n<|\"|>,"
      "<|\"|>a:b<|\"|>:true,größe:7,more:1}<tool_call|>"));
  EXPECT_FALSE(matches("<|tool_call>call:weather{city:\"x\"}<tool_call|>"));
  EXPECT_FALSE(matches("<|tool_call>call:weather{}<tool_call|>"));
  EXPECT_FALSE(matches("<|tool_call>call:none{}<tool_call|>"));
  EXPECT_FALSE(matches("<|tool_call>call:free{}"));
  EXPECT_FALSE(matches("call:free{}"));
  EXPECT_FALSE(matches("text<|tool_call>call:free{}<tool_call|>"));
  EXPECT_FALSE(matches(""));
  EXPECT_FALSE(matches("<|tool_call>call:free{a: 1}<tool_call|>"));
  EXPECT_FALSE(matches("<|tool_call>call:free{a:null}<tool_call|>"));
}

TEST(ToolCallsTest, WithoutParallelCallsThereIsOne) {
  const GrammarPtr grammar =
      Compile({{"f", ""}}, {.required = true, .parallel = false});
  const std::string call = Bytes("<|tool_call>call:f{}<tool_call|>");
  GrammarMatcher matcher(grammar);
  ASSERT_TRUE(matcher.Accept(call).ok());
  EXPECT_TRUE(matcher.IsFinished());
  EXPECT_FALSE(Matches(grammar, call + call));
}

TEST(ToolCallsTest, WithoutACallRequiredAnswersAreTextThenCalls) {
  const GrammarPtr grammar = Compile({{"f", ""}}, {});
  for (const char* text : {"", "Hello.\n", "<|tool_call>call:f{}<tool_call|>",
                           "I see: call:f{}<|tool_call>call:f{}<tool_call|>"
                           "<|tool_call>call:f{}<tool_call|>"}) {
    EXPECT_TRUE(Matches(grammar, Bytes(text))) << text;
  }
  EXPECT_FALSE(
      Matches(grammar, Bytes("<|tool_call>call:f{}<tool_call|>More.")));
  EXPECT_FALSE(Matches(grammar, Bytes("<|tool_call>call:g{}<tool_call|>")));
}

TEST(ToolCallsTest, ContentMayHaveASchemaBesideCalls) {
  const GrammarPtr grammar = Compile(
      {{"f", ""}}, {.content_schema = R"({"type": "array", "maxItems": 0})"});
  EXPECT_TRUE(Matches(grammar, "[]"));
  EXPECT_TRUE(Matches(grammar, Bytes("<|tool_call>call:f{}<tool_call|>")));
  EXPECT_FALSE(Matches(grammar, ""));
  EXPECT_FALSE(Matches(grammar, Bytes("[]<|tool_call>call:f{}<tool_call|>")));
}

TEST(ToolCallsTest, WhatCannotBeCalledIsRefusedByName) {
  const auto error = [](const std::vector<CallableTool>& tools) {
    const auto grammar = CompileToolCalls(tools, {.required = true}, {});
    EXPECT_FALSE(grammar.ok());
    return std::string(grammar.status().message());
  };
  EXPECT_EQ(error({}).find("tools:"), 0u);
  for (const char* name : {"", "a{", " a", "a\n", "\xFF"}) {
    EXPECT_EQ(error({{"f", ""}, {name, ""}}).find("tools[1]: name:"), 0u)
        << error({{"f", ""}, {name, ""}});
  }
  EXPECT_EQ(error({{"f", ""}, {"f", ""}}).find("tools[1]: name:"), 0u);
  EXPECT_EQ(error({{"f", "{"}}).find("tools[0].parameters:"), 0u);
  EXPECT_EQ(error({{"f", R"({"not": {}})"}}).find("tools[0].parameters:"), 0u);
  EXPECT_FALSE(
      CompileToolCalls({{"f", R"({"type": "string"})"}}, {.required = true}, {})
          .ok());
}

TEST(ToolCallsTest, OfALenientToolWhatCannotBeFollowedIsAnyObject) {
  CallableTool tool{"f", R"({"not": {}, "required": ["a"]})"};
  tool.lenient = true;
  const GrammarPtr any = Compile({tool}, {.required = true});
  EXPECT_TRUE(Matches(any, Bytes("<|tool_call>call:f{b:1}<tool_call|>")));
  tool.parameters = R"({"properties": {"a": {"type": "integer"}},
                        "required": ["a"]})";
  const GrammarPtr followed = Compile({tool}, {.required = true});
  EXPECT_TRUE(Matches(followed, Bytes("<|tool_call>call:f{a:1}<tool_call|>")));
  EXPECT_FALSE(Matches(followed, Bytes("<|tool_call>call:f{b:1}<tool_call|>")));
}

TEST(ToolCallsTest, ErrorsNameThePlaceThatAToolGives) {
  CallableTool tool{"f", "{"};
  tool.place = "tools[7].function";
  const auto grammar = CompileToolCalls({tool}, {.required = true}, {});
  EXPECT_EQ(grammar.status().message().find("tools[7].function.parameters:"),
            0u)
      << grammar.status();
}

// Every token that a mask allows leads on to a valid call, and no token but the
// marker itself ends a string.
TEST(ToolCallsTest, AnyTokensThatMasksAllowMakeValidCalls) {
  const auto tokenizer = *Tokenizer::Load("deploy/demo-model");
  const AnswerMarkers markers = AnswerMarkers::Of(*tokenizer);
  const ControlToken controls[] = {{markers.call_open, kCallOpenByte},
                                   {markers.call_close, kCallCloseByte},
                                   {markers.string, kStringMarkerByte}};
  constexpr int32_t kStop = 1;
  const auto trie = TokenTrie::ForTokenizer(*tokenizer, {kStop}, {}, controls);
  const GrammarPtr grammar =
      Compile(Tools(), {.required = true, .parallel = false});
  std::mt19937 random(6);
  int complete = 0;
  for (int run = 0; run < 60; ++run) {
    GrammarMatcher matcher(grammar);
    std::string text;
    while (!matcher.IsFinished() && text.size() < 2000) {
      const auto mask = ComputeTokenMask(*trie, matcher);
      ASSERT_TRUE(mask.ok()) << mask.status();
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
        if (Allows(*mask, id)) allowed.push_back(id);
      }
      ASSERT_FALSE(allowed.empty()) << text;
      // What ends strings and calls comes up often.
      int32_t id = allowed[random() % allowed.size()];
      for (const int32_t marker : {markers.string, markers.call_close}) {
        if (Allows(*mask, marker) && random() % 2 == 0) id = marker;
      }
      std::string bytes = TokenBytes(*tokenizer, id);
      for (const ControlToken& control : controls) {
        if (id == control.id) bytes = control.byte;
      }
      ASSERT_TRUE(matcher.Accept(bytes).ok()) << text << " " << bytes;
      text += bytes;
    }
    if (!matcher.IsFinished()) continue;
    ++complete;
    ExpectValid(Read(text));
  }
  EXPECT_GE(complete, 20);
}

}  // namespace
}  // namespace facet
