#include "rpc/coordinator/answer_stream.h"

#include <memory>
#include <random>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "rpc/coordinator/stop_matcher.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/answer_parser.h"

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

struct Shown {
  std::string text;
  std::string parts;  // "[thought]...[answer]..."
};

void AppendParts(const std::vector<AnswerPart>& parts, std::string* shown) {
  for (const AnswerPart& part : parts) {
    if (part.begins) {
      *shown += part.kind == PartKind::kThought    ? "[thought]"
                : part.kind == PartKind::kToolCall ? "[call]"
                                                   : "[answer]";
    }
    *shown += part.text;
  }
}

Shown Show(const std::string& prompt, const std::string& answer,
           std::vector<std::string> stops = {}) {
  AnswerStream stream(&TestTokenizer(), Ids(prompt), std::move(stops));
  Shown shown;
  for (const int32_t id : Ids(answer)) {
    std::vector<AnswerPart> parts;
    stream.Push(id, /*may_stop=*/true, &shown.text, &parts);
    AppendParts(parts, &shown.parts);
  }
  std::vector<AnswerPart> parts;
  stream.Finish(&shown.text, &parts);
  AppendParts(parts, &shown.parts);
  return shown;
}

TEST(AnswerStreamTest, ThoughtAnswerAndCallsAreToldApart) {
  const Shown shown = Show("<|turn>model\n",
                           "<|channel>thought\nhm, why\nnot\n<channel|>Yes."
                           "<|tool_call>call:f{a:<|\"|>b<|\"|>}<tool_call|>"
                           "<|tool_call>call:g{}<tool_call|><|tool_response>");
  EXPECT_EQ(shown.parts,
            "[thought]hm, why\nnot\n[answer]Yes."
            "[call]call:f{a:<|\"|>b<|\"|>}[call]call:g{}");
  EXPECT_EQ(shown.text, "thought\nhm, why\nnot\nYes.call:f{a:b}call:g{}");
}

TEST(AnswerStreamTest, ThePromptTellsWhatTheAnswerBeginsWith) {
  EXPECT_EQ(
      Show("<|turn>model\n<|channel>thought\n", "so\n<channel|>Yes").parts,
      "[thought]so\n[answer]Yes");
  EXPECT_EQ(Show("<|turn>model\n<|channel>", "thought\nso<channel|>Yes").parts,
            "[thought]so[answer]Yes");
  EXPECT_EQ(Show("<|turn>model\n<|channel>thought\n<channel|>", "Yes").parts,
            "[answer]Yes");
}

TEST(AnswerStreamTest, OnlyTheNameOfTheThoughtIsLeftOut) {
  const std::string prompt = "<|turn>model\n";
  EXPECT_EQ(Show(prompt, "<|channel>thought\n\nso<channel|>Yes").parts,
            "[thought]\nso[answer]Yes");
  EXPECT_EQ(Show(prompt, "<|channel>thoughts\nso<channel|>Yes").parts,
            "[thought]thoughts\nso[answer]Yes");
  EXPECT_EQ(Show(prompt, "<|channel>plan: tho<channel|>Yes").parts,
            "[thought]plan: tho[answer]Yes");
  EXPECT_EQ(Show(prompt, "<|channel>thou<channel|>Yes").parts,
            "[thought]thou[answer]Yes");
  EXPECT_EQ(Show(prompt, "<|channel>thought<channel|>Yes").parts,
            "[answer]Yes");
  EXPECT_EQ(Show(prompt, "<|channel>thou").parts, "[thought]thou");
  EXPECT_EQ(Show("<|turn>model\n<|channel>thou", "ght\nso").parts,
            "[thought]so");
  EXPECT_EQ(Show("<|turn>model\n<|channel>thou", "sand").parts,
            "[thought]sand");
}

std::string CallArguments(const std::vector<int32_t>& ids) {
  AnswerStream stream(&TestTokenizer(), {}, {});
  AnswerParser parser;
  std::string arguments;
  std::vector<AnswerEvent> events;
  for (size_t i = 0; i <= ids.size(); ++i) {
    std::string text;
    std::vector<AnswerPart> parts;
    if (i < ids.size()) {
      stream.Push(ids[i], /*may_stop=*/true, &text, &parts);
    } else {
      stream.Finish(&text, &parts);
    }
    for (const AnswerPart& part : parts) parser.Push(part, &events);
  }
  parser.Finish(&events);
  for (const AnswerEvent& event : events) {
    if (event.kind == AnswerEventKind::kArguments) arguments += event.text;
  }
  return arguments;
}

TEST(AnswerStreamTest, AStringMarkerIsATokenAndNotItsSpelling) {
  const auto plain = [](const std::string& text) {
    EncodeOptions options;
    options.parse_special = false;
    return *TestTokenizer().Encode(text, options);
  };
  std::vector<int32_t> ids = Ids("<|tool_call>call:f{a:<|\"|>x");
  for (int32_t id : plain("<|\"|><tool_call|>y")) ids.push_back(id);
  for (int32_t id : Ids("<|\"|>}<tool_call|>")) ids.push_back(id);
  EXPECT_EQ(CallArguments(ids), R"({"a":"x<|\"|><tool_call|>y"})");
}

TEST(AnswerStreamTest, StopStringsCutTextAndPartsAlike) {
  const Shown shown =
      Show("<|turn>model\n", "<|channel>thought\nab<channel|>one two three",
           {"two", "never"});
  EXPECT_EQ(shown.text, "thought\nabone ");
  EXPECT_EQ(shown.parts, "[thought]ab[answer]one ");
}

TEST(AnswerStreamTest, ByteTokensBeforeAMarkerStayBeforeIt) {
  const auto byte = [](char c) {
    return *TestTokenizer().TokenId(absl::StrFormat("<0x%02X>", c));
  };
  std::vector<int32_t> ids = Ids("<|tool_call>call:f{a:<|\"|>gree");
  ids.push_back(byte('n'));
  for (const int32_t id : Ids("<|\"|>,b:1}<tool_call|>")) ids.push_back(id);
  EXPECT_EQ(CallArguments(ids), R"({"a":"green","b":1})");
}

// The text of the stretches between markers.
std::string DecodeStretches(const std::vector<int32_t>& ids) {
  const AnswerMarkers markers = AnswerMarkers::Of(TestTokenizer());
  PartKind kind = PartKind::kAnswer;
  std::string text;
  std::vector<int32_t> stretch;
  const auto flush = [&] {
    text += *TestTokenizer().Decode(stretch, /*skip_special=*/true);
    stretch.clear();
  };
  for (const int32_t id : ids) {
    const PartKind after = markers.KindAfter(kind, id);
    const bool in_call =
        kind == PartKind::kToolCall && TestTokenizer().is_special(id);
    if (after != kind || in_call || id == markers.channel_open) flush();
    kind = after;
    stretch.push_back(id);
  }
  flush();
  return text;
}

TEST(AnswerStreamTest, TextIsWhatDecodeGivesForAnyTokens) {
  std::mt19937 random(5);
  const int64_t vocab = TestTokenizer().vocab_size();
  for (int run = 0; run < 300; ++run) {
    std::vector<int32_t> ids(1 + random() % 40);
    for (int32_t& id : ids) id = random() % vocab;
    AnswerStream stream(&TestTokenizer(), {}, {"\x01never"});
    std::string text;
    std::vector<AnswerPart> parts;
    for (const int32_t id : ids) {
      stream.Push(id, /*may_stop=*/true, &text, &parts);
    }
    stream.Finish(&text, &parts);
    EXPECT_EQ(text, DecodeStretches(ids));
  }
}

TEST(StopMatcherTest, ResultDoesNotDependOnHowTheTextIsCut) {
  std::mt19937 random(9);
  const auto word = [&](int most) {
    std::string s(1 + random() % most, 'a');
    for (char& c : s) c += random() % 3;
    return s;
  };
  for (int run = 0; run < 3000; ++run) {
    std::vector<std::string> stops;
    for (int i = 1 + random() % 3; i > 0; --i) stops.push_back(word(4));
    const std::string text = word(30);

    // The match that ends first, then the longest.
    std::string expected = text;
    for (size_t end = 1; end <= text.size() && expected == text; ++end) {
      for (const std::string& stop : stops) {
        if (end >= stop.size() &&
            text.compare(end - stop.size(), stop.size(), stop) == 0) {
          expected.resize(std::min(expected.size(), end - stop.size()));
        }
      }
    }

    StopMatcher matcher(stops);
    std::string shown;
    for (size_t at = 0; at < text.size() && !matcher.stopped();) {
      const size_t count = 1 + random() % 5;
      shown += matcher.Push(text.substr(at, count));
      at += count;
    }
    if (!matcher.stopped()) shown += matcher.Finish();
    EXPECT_EQ(shown, expected) << text;
  }
}

TEST(StopMatcherTest, HoldsBackOnlyWhatCouldBecomeAStop) {
  StopMatcher matcher({"END", "EN!"});
  EXPECT_EQ(matcher.Push("the E"), "the ");
  EXPECT_EQ(matcher.Push("N"), "");
  EXPECT_EQ(matcher.Push("X"), "ENX");
  EXPECT_EQ(matcher.Push("EN"), "");
  EXPECT_EQ(matcher.Finish(), "EN");
}

}  // namespace
}  // namespace facet
