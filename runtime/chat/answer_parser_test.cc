#include "runtime/chat/answer_parser.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/tool_text.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// `text` as parts, where each <|"|> is the token.
std::vector<AnswerPart> Parts(PartKind kind, const std::string& text) {
  std::vector<AnswerPart> parts;
  const std::string marker = kStringMarker;
  size_t at = 0;
  while (true) {
    const size_t found = text.find(marker, at);
    const size_t end = std::min(found, text.size());
    if (end > at || parts.empty()) {
      parts.push_back({kind, text.substr(at, end - at), parts.empty()});
    }
    if (found == std::string::npos) return parts;
    parts.push_back({kind, marker, false, /*marker=*/true});
    at = found + marker.size();
  }
}

std::vector<AnswerPart> Call(const std::string& text) {
  return Parts(PartKind::kToolCall, text);
}

struct Read {
  std::string thought, content;
  std::vector<std::string> names, arguments;
  std::vector<bool> malformed;
};

Read ReadEvents(const std::vector<AnswerEvent>& events) {
  Read read;
  for (const AnswerEvent& event : events) {
    switch (event.kind) {
      case AnswerEventKind::kThought:
        read.thought += event.text;
        break;
      case AnswerEventKind::kContent:
        read.content += event.text;
        break;
      case AnswerEventKind::kCallBegin:
        EXPECT_EQ(event.call, read.names.size());
        EXPECT_EQ(read.malformed.size(), read.names.size());
        read.names.push_back(event.text);
        read.arguments.emplace_back();
        break;
      case AnswerEventKind::kArguments:
        EXPECT_EQ(event.call + 1, read.names.size());
        read.arguments.back() += event.text;
        break;
      case AnswerEventKind::kCallEnd:
        EXPECT_EQ(event.call, read.malformed.size());
        read.malformed.push_back(event.malformed);
        break;
    }
  }
  EXPECT_EQ(read.malformed.size(), read.names.size());
  return read;
}

Read ReadAll(const std::vector<AnswerPart>& parts) {
  AnswerParser parser;
  std::vector<AnswerEvent> events;
  for (const AnswerPart& part : parts) parser.Push(part, &events);
  parser.Finish(&events);
  return ReadEvents(events);
}

// "name {...}", "!" behind it where the call is malformed; content as it is.
std::string Show(const std::vector<AnswerPart>& parts) {
  const Read read = ReadAll(parts);
  std::string shown = read.content;
  for (size_t i = 0; i < read.names.size(); ++i) {
    EXPECT_TRUE(Json::accept(read.arguments[i])) << read.arguments[i];
    absl::StrAppend(&shown, read.names[i], " ", read.arguments[i],
                    read.malformed[i] ? "!" : "");
  }
  return shown;
}

TEST(ToolCallParserTest, EveryKindOfValueBecomesJson) {
  EXPECT_EQ(Show(Call("call:get_weather{city:<|\"|>Lisbon<|\"|>}")),
            R"(get_weather {"city":"Lisbon"})");
  EXPECT_EQ(Show(Call("call:f{a:1,b:-2.5e+16,c:true,d:None,e:[1,[2],[]],"
                      "g:{h:{}},i:false,j:[{k:<|\"|><|\"|>}]}")),
            R"(f {"a":1,"b":-2.5e+16,"c":true,"d":null,"e":[1,[2],[]],)"
            R"("g":{"h":{}},"i":false,"j":[{"k":""}]})");
  EXPECT_EQ(Show(Call("call:now{}")), "now {}");
}

TEST(ToolCallParserTest, StringsMayHoldAnythingButTheirToken) {
  EXPECT_EQ(
      Show(Call("call:f{a:<|\"|>}{,:[\"\\\n\t\x01é漢<tool_call|><|\"|>}")),
      "f {\"a\":\"}{,:[\\\"\\\\\\n\\t\\u0001é漢<tool_call|>\"}");
  // Written out by ordinary tokens, the token's spelling is text.
  std::vector<AnswerPart> parts = Call("call:f{a:<|\"|>x<|\"|>}");
  parts[2].text = "x<|\"|>y";
  EXPECT_EQ(Show(parts), R"(f {"a":"x<|\"|>y"})");
}

TEST(ToolCallParserTest, WhatLooksLikeAValueIsOne) {
  EXPECT_EQ(Show(Call(" call: f { unit: celsius, n : 3 , o:null,p:True } ")),
            R"(f {"unit":"celsius","n":3,"o":null,"p":true})");
  EXPECT_EQ(Show(Call("call:f{a:01,b:1.,c:.5,d:nan,e:-,f:1e,g:--1,h:0.50}")),
            R"(f {"a":"01","b":"1.","c":".5","d":"nan","e":"-","f":"1e",)"
            R"("g":"--1","h":0.50})");
  EXPECT_EQ(Show(Call("call:f{<|\"|>a b:<|\"|>:1,}")), R"(f {"a b:":1})");
  // Numbers that no double holds are words; others keep their digits.
  EXPECT_EQ(Show(Call("call:f{a:1e999}")), R"(f {"a":"1e999"})");
  const std::string digits(300, '7');
  EXPECT_EQ(Show(Call(absl::StrCat("call:f{a:", digits, "}"))),
            absl::StrCat("f {\"a\":", digits, "}"));
  const std::string word(5000, 'x');
  EXPECT_EQ(Show(Call(absl::StrCat("call:f{a:", word, "  }"))),
            absl::StrCat("f {\"a\":\"", word, "\"}"));
}

TEST(ToolCallParserTest, WhatIsNoCallIsContent) {
  EXPECT_EQ(Show(Call("")), "");
  EXPECT_EQ(Show(Call("cal")), "cal");
  EXPECT_EQ(Show(Call("  hello {a:1}")), "  hello {a:1}");
  EXPECT_EQ(Show(Call("call:")), "call:");
  EXPECT_EQ(Show(Call("call:{a:<|\"|>b<|\"|>}")), "call:{a:<|\"|>b<|\"|>}");
  EXPECT_EQ(Show(Call("call:f<|\"|>")), "call:f<|\"|>");
  const std::string name(5000, 'n');
  EXPECT_EQ(Show(Call("call:" + name + "{}")), "call:" + name + "{}");
  // Behind the last brace.
  EXPECT_EQ(Show(Call("call:f{} and {more}")), "and {more}f {}");
}

TEST(ToolCallParserTest, ABrokenCallIsMalformedAndLosesNoText) {
  const std::pair<const char*, const char*> kCases[] = {
      {"call:f{", "f {}!"},
      {"call:f{a", R"(f {"a":null}!)"},
      {"call:f{a:", R"(f {"a":null}!)"},
      {"call:f{a:1", R"(f {"a":1}!)"},
      {"call:f{a:tr", R"(f {"a":"tr"}!)"},
      {"call:f{a:1,", R"(f {"a":1}!)"},
      {"call:f{a:}", R"(f {"a":null}!)"},
      {"call:f{a:,b:2}", R"(f {"a":null,"b":2}!)"},
      {"call:f{a:<|\"|>x}", R"(f {"a":"x}"}!)"},
      {"call:f{a:[1", R"(f {"a":[1]}!)"},
      {"call:f{a:[{b:1]}", R"(f {"a":[{"b":1}]}!)"},
      {"call:f{a:[1}", R"(f {"a":[1]}!)"},
      {"call:f{a:1]}", R"(f {"a":1}!)"},
      {"call:f{a:{b:1}", R"(f {"a":{"b":1}}!)"},
      {"call:f{a:<|\"|>x<|\"|>y:2}", R"(f {"a":"x","y":2}!)"},
      {"call:f{a:[<|\"|>x<|\"|><|\"|>y<|\"|>]}", R"(f {"a":["x","y"]}!)"},
      {"call:f{<|\"|>a<|\"|>}", R"(f {"a":null}!)"},
      {"call:f{<|\"|>a<|\"|><|\"|>b<|\"|>:1}", R"(f {"a":null,"b":1}!)"},
      {"call:f{a:[x<|\"|>y<|\"|>]}", R"(f {"a":["x","y"]}!)"},
  };
  for (const auto& [text, shown] : kCases) {
    EXPECT_EQ(Show(Call(text)), shown) << text;
  }
}

TEST(ToolCallParserTest, DepthIsBounded) {
  const Read read = ReadAll(Call("call:f{a:" + std::string(100'000, '[') + "x" +
                                 std::string(100'000, ']') + "}"));
  ASSERT_EQ(read.names.size(), 1);
  EXPECT_TRUE(read.malformed[0]);
  EXPECT_TRUE(Json::accept(read.arguments[0]));
  EXPECT_NE(read.arguments[0].find('x'), std::string::npos);
}

// Random JSON whose keys survive the syntax: they hold no colon and begin and
// end with a letter.
class RandomJson {
 public:
  explicit RandomJson(std::mt19937* random) : random_(*random) {}

  Json Object(int depth) {
    Json object = Json::object();
    for (int i = Below(5); i > 0; --i) object[Key()] = Value(depth - 1);
    return object;
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % n); }
  std::string Text() {
    static const char* const kPieces[] = {
        "a",  "Z",    "0",  " ",       "\n",   "\t", "\"",    "\\",  "{",
        "}",  "[",    "]",  ",",       ":",    "'",  "é",     "漢",  "😀",
        "\r", "\x01", "/u", "<|turn>", "None", "1",  "call:", "\x7F"};
    std::string text;
    for (int i = Below(12); i > 0; --i) text += kPieces[Below(26)];
    return text;
  }
  std::string Key() {
    std::string key = Text();
    key.erase(std::remove(key.begin(), key.end(), ':'), key.end());
    return absl::StrCat("k", Below(100), key, "k");
  }
  Json Value(int depth) {
    switch (Below(depth > 0 ? 9 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return Below(2) == 0;
      case 2:
        return static_cast<int64_t>(random_()) - (int64_t{1} << 31);
      case 3:
        return std::ldexp(1.0 + Below(1000) / 999.0, Below(200) - 100);
      case 7:
        return Object(depth);
      case 8: {
        Json list = Json::array();
        for (int i = Below(4); i > 0; --i) list.push_back(Value(depth - 1));
        return list;
      }
      default:
        return Text();
    }
  }

  std::mt19937& random_;
};

// The text of a call, as the renderer writes it, without its tokens.
std::string Rendered(const Json& arguments) {
  const Json call = {{"function", {{"name", "f"}, {"arguments", arguments}}}};
  PromptText prompt;
  EXPECT_TRUE(
      AppendToolCall(TemplateValue(&call), FieldPath("call"), &prompt).ok());
  const std::string open = "<|tool_call>", close = "<tool_call|>";
  return prompt.text().substr(
      open.size(), prompt.text().size() - open.size() - close.size());
}

TEST(ToolCallParserTest, WhatTheFormatWritesIsReadAsItWasMeant) {
  std::mt19937 random(1);
  RandomJson make(&random);
  for (int run = 0; run < 3000; ++run) {
    const Json arguments = make.Object(4);
    const Read read = ReadAll(Call(Rendered(arguments)));
    ASSERT_EQ(read.names.size(), 1) << arguments;
    EXPECT_FALSE(read.malformed[0]) << arguments;
    // The format sorts keys.
    EXPECT_EQ(nlohmann::json::parse(read.arguments[0]),
              nlohmann::json::parse(arguments.dump()));
  }
}

std::vector<AnswerPart> RandomParts(std::mt19937* random) {
  const std::vector<std::string> kWords = {
      "call:", "f",  "{",  "}",      "[",    "]",      ",",
      ":",     "a",  " ",  "1",      "None", "\n",     "call:f{",
      "\"",    "\\", "é",  "\xFF",   "{a:",  "true",   "\x02",
      "-",     "[[", "}}", "<|\"|>", ":{",   "thought"};
  std::vector<AnswerPart> parts;
  for (int i = 1 + (*random)() % 30; i > 0; --i) {
    AnswerPart part;
    const int kind = (*random)() % 8;
    part.kind = kind == 0   ? PartKind::kAnswer
                : kind == 1 ? PartKind::kThought
                            : PartKind::kToolCall;
    part.begins = (*random)() % 12 == 0;
    part.marker = (*random)() % 5 == 0;
    part.text = part.marker ? kStringMarker : "";
    for (int j = part.marker ? 0 : 1 + (*random)() % 4; j > 0; --j) {
      part.text += kWords[(*random)() % kWords.size()];
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

TEST(AnswerParserTest, AnythingHasAReadingHoweverItIsCut) {
  std::mt19937 random(2);
  for (int run = 0; run < 20000; ++run) {
    const std::vector<AnswerPart> parts = RandomParts(&random);
    std::vector<AnswerPart> cut;
    for (const AnswerPart& part : parts) {
      if (part.marker) {
        cut.push_back(part);
        continue;
      }
      for (size_t at = 0; at < part.text.size();) {
        size_t end = at + 1;
        while (end < part.text.size() &&
               (random() % 2 || (part.text[end] & 0xC0) == 0x80)) {
          ++end;
        }
        cut.push_back({part.kind, part.text.substr(at, end - at),
                       part.begins && at == 0});
        at = end;
      }
    }
    const Read whole = ReadAll(parts), pieces = ReadAll(cut);
    EXPECT_EQ(whole.thought, pieces.thought);
    EXPECT_EQ(whole.content, pieces.content);
    EXPECT_EQ(whole.names, pieces.names);
    EXPECT_EQ(whole.arguments, pieces.arguments);
    EXPECT_EQ(whole.malformed, pieces.malformed);
    for (const std::string& arguments : whole.arguments) {
      EXPECT_TRUE(Json::accept(arguments)) << arguments;
    }
  }
}

TEST(AnswerParserTest, ThoughtContentAndCallsArriveInTheirFields) {
  std::vector<AnswerPart> parts = Parts(PartKind::kThought, "so\n\nthen\n");
  parts.push_back({PartKind::kAnswer, "Yes.", true});
  for (const char* call : {"call:f{a:<|\"|>b<|\"|>}", "call:g{}"}) {
    for (AnswerPart& part : Call(call)) parts.push_back(std::move(part));
  }
  const Read read = ReadAll(parts);
  EXPECT_EQ(read.thought, "so\n\nthen");
  EXPECT_EQ(read.content, "Yes.");
  EXPECT_EQ(read.names, (std::vector<std::string>{"f", "g"}));
  EXPECT_EQ(read.arguments, (std::vector<std::string>{R"({"a":"b"})", "{}"}));
}

TEST(AnswerParserTest, ArgumentsComeAsSoonAsTheirTextDoes) {
  AnswerParser parser;
  std::vector<AnswerEvent> events;
  const auto next = [&](const std::string& text, bool marker = false) {
    events.clear();
    parser.Push({PartKind::kToolCall, text, false, marker}, &events);
    std::string shown;
    for (const AnswerEvent& event : events) {
      if (event.kind == AnswerEventKind::kCallEnd) shown += "end";
      shown += event.text;
    }
    return shown;
  };
  EXPECT_EQ(next("call:"), "");
  EXPECT_EQ(next("find"), "");
  EXPECT_EQ(next("{na"), "find{\"na");
  EXPECT_EQ(next("me:"), "me\":");
  EXPECT_EQ(next(kStringMarker, true), "\"");
  EXPECT_EQ(next("some"), "some");
  EXPECT_EQ(next(kStringMarker, true), "\"");
  EXPECT_EQ(next(",n:1"), ",\"n\":");
  EXPECT_EQ(next("2"), "");  // more digits may follow
  EXPECT_EQ(next("}"), "12}end");
}

}  // namespace
}  // namespace facet
