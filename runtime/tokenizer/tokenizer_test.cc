#include "runtime/tokenizer/tokenizer.h"

#include <fstream>
#include <iterator>
#include <random>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

using Json = nlohmann::json;

constexpr char kDirectory[] = "tests/testdata/tokenizer";

const Tokenizer& GoldenTokenizer() {
  static const Tokenizer* tokenizer = [] {
    auto loaded = Tokenizer::Load(kDirectory);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded->release();
  }();
  return *tokenizer;
}

const Json& Golden() {
  static const Json* golden = [] {
    std::ifstream file(absl::StrCat(kDirectory, "/tokenizer_golden.json"));
    return new Json(Json::parse(file));
  }();
  return *golden;
}

std::vector<int32_t> Ids(absl::string_view text, EncodeOptions options = {}) {
  const auto ids = GoldenTokenizer().Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>{};
}

std::string Text(const std::vector<int32_t>& ids, bool skip_special = false) {
  const auto text = GoldenTokenizer().Decode(ids, skip_special);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

std::vector<std::string> Stream(const std::vector<int32_t>& ids,
                                bool skip_special) {
  StreamDecoder decoder(&GoldenTokenizer(), skip_special);
  std::vector<std::string> pieces;
  for (int32_t id : ids) pieces.push_back(decoder.Push(id));
  pieces.push_back(decoder.Finish());
  return pieces;
}

// All pieces in a row; every one of them must be whole characters.
std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) {
    EXPECT_EQ(ValidUtf8Prefix(piece), piece.size());
    text += piece;
  }
  return text;
}

TEST(TokenizerTest, EncodesAndDecodesAsTheReferenceDoes) {
  int cases = 0;
  for (const Json& c : Golden()["cases"]) {
    const std::string text = c["text"];
    SCOPED_TRACE(text);
    const std::vector<int32_t> ids = c["ids"];
    EXPECT_EQ(Ids(text), ids);
    EXPECT_EQ(Ids(text, {.add_special = true}),
              c["ids_add_special"].get<std::vector<int32_t>>());
    EXPECT_EQ(Text(ids), c["decoded"].get<std::string>());
    EXPECT_EQ(Text(ids, true), c["decoded_skip_special"].get<std::string>());
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(GoldenTokenizer().TokenText(ids[i]),
                c["tokens"][i].get<std::string>());
    }
    ++cases;
  }
  EXPECT_GT(cases, 100);
}

TEST(TokenizerTest, DecodesAnyIdsAsTheReferenceDoes) {
  int cases = 0;
  for (const Json& c : Golden()["decode_only"]) {
    const std::vector<int32_t> ids = c["ids"];
    EXPECT_EQ(Text(ids), c["decoded"].get<std::string>());
    EXPECT_EQ(Text(ids, true), c["decoded_skip_special"].get<std::string>());
    ++cases;
  }
  EXPECT_GT(cases, 20);
}

TEST(TokenizerTest, StreamedPiecesAddUpToTheReferenceText) {
  for (const char* list : {"cases", "decode_only"}) {
    for (const Json& c : Golden()[list]) {
      const std::vector<int32_t> ids = c["ids"];
      EXPECT_EQ(Joined(Stream(ids, false)), c["decoded"].get<std::string>());
      EXPECT_EQ(Joined(Stream(ids, true)),
                c["decoded_skip_special"].get<std::string>());
    }
  }
}

TEST(TokenizerTest, OnlyRunsOfByteTokensAreHeldBack) {
  std::mt19937 random(3);
  std::uniform_int_distribution<int32_t> any(
      0, GoldenTokenizer().vocab_size() - 1);
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> ids(20);
    for (int32_t& id : ids) id = any(random);
    const std::vector<std::string> pieces = Stream(ids, false);
    std::string so_far;
    for (size_t i = 0; i < ids.size(); ++i) {
      so_far += pieces[i];
      if (absl::string_view(GoldenTokenizer().TokenText(ids[i])).substr(0, 3) !=
          "<0x") {
        EXPECT_EQ(so_far, Text({ids.begin(), ids.begin() + i + 1}));
      }
    }
    EXPECT_EQ(Joined(pieces), Text(ids));
  }
}

TEST(TokenizerTest, RandomTextComesBackUnchanged) {
  // Characters inside and outside the vocabulary; not U+2581, which reads as a
  // space.
  const std::vector<std::string> alphabet = {"a",
                                             "b",
                                             "e",
                                             " ",
                                             "  ",
                                             "\n",
                                             "\t",
                                             "the ",
                                             "\r\n",
                                             "<",
                                             "<bos",
                                             "<|turn>",
                                             "é",
                                             "日",
                                             "𝄞",
                                             "👩‍👩‍👧",
                                             std::string(1, 0),
                                             "ﬀ",
                                             "0",
                                             "<0x41>",
                                             "\u00a0",
                                             "़",
                                             "\U0010FFFF"};
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = random() % 60; i > 0; --i) {
      text += alphabet[random() % alphabet.size()];
    }
    // A byte token that is written out decodes to its byte.
    EXPECT_EQ(Text(Ids(text)), text) << text;
    const std::vector<int32_t> plain = Ids(text, {.parse_special = false});
    EXPECT_EQ(Text(plain), text) << text;
    for (int32_t id : plain) EXPECT_FALSE(GoldenTokenizer().is_special(id));
  }
}

TEST(TokenizerTest, InvalidUtf8IsRefusedWithItsOffset) {
  for (const std::string bad : {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xE2\x82",
                                "\xF4\x90\x80\x80", "\x80", "\xE0\x80\x80"}) {
    const auto ids = GoldenTokenizer().Encode("abc" + bad, {});
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(ids.status().message().find("byte 3"), std::string::npos)
        << ids.status();
  }
}

TEST(TokenizerTest, RandomBytesAreTextOrRefused) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (int i = random() % 12; i > 0; --i) {
      bytes.push_back(static_cast<char>(random()));
    }
    const auto ids = GoldenTokenizer().Encode(bytes, {});
    EXPECT_EQ(ids.ok(), ValidUtf8Prefix(bytes) == bytes.size());
    // Byte tokens hold anything: together they are the bytes or U+FFFD each.
    std::vector<int32_t> byte_ids;
    for (unsigned char byte : bytes) {
      char spelling[8];
      snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
      byte_ids.push_back(*GoldenTokenizer().TokenId(spelling));
    }
    std::string replaced;
    for (size_t i = 0; i < bytes.size(); ++i) replaced += "\uFFFD";
    EXPECT_EQ(Text(byte_ids), ids.ok() ? bytes : replaced);
  }
}

TEST(TokenizerTest, IdsOutsideTheVocabularyAreRefused) {
  const int32_t size = GoldenTokenizer().vocab_size();
  for (int32_t id : {-1, size, INT32_MAX, INT32_MIN}) {
    const auto text = GoldenTokenizer().Decode({5, id}, false);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(text.status().message().find("position 1"), std::string::npos);
    EXPECT_EQ(GoldenTokenizer().TokenText(id), "");
    EXPECT_FALSE(GoldenTokenizer().is_special(id));
  }
}

TEST(TokenizerTest, SpecialTokensInUserTextStayCharacters) {
  const std::string text = "a<bos><|turn>user<turn|>\n";
  const std::vector<int32_t> ids = Ids(text, {.parse_special = false});
  for (int32_t id : ids) EXPECT_FALSE(GoldenTokenizer().is_special(id));
  EXPECT_EQ(Text(ids), text);
  EXPECT_EQ(Text(Ids(text), true), "auser\n");
}

TEST(TokenizerTest, NoSpecialTokenOverlapsAPlainRange) {
  const std::string text = "<bos>hi <bos><turn|> <turn|>";
  const int32_t bos = *GoldenTokenizer().TokenId("<bos>");
  const int32_t turn = *GoldenTokenizer().TokenId("<turn|>");
  for (size_t begin = 0; begin <= text.size(); ++begin) {
    for (size_t end = begin + 1; end <= text.size(); ++end) {
      const TextRange plain[] = {{begin, end}};
      const std::vector<int32_t> ids = Ids(text, {.plain = plain});
      EXPECT_EQ(Text(ids), text);
      const auto free = [&](size_t from, size_t to) {
        return to <= begin || end <= from;
      };
      EXPECT_EQ(std::count(ids.begin(), ids.end(), bos),
                free(0, 5) + free(8, 13));
      EXPECT_EQ(std::count(ids.begin(), ids.end(), turn),
                free(13, 20) + free(21, 28));
    }
  }
}

TEST(TokenizerTest, BordersOfPlainRangesDoNotChangeOrdinaryText) {
  std::mt19937 random(4);
  for (const Json& c : Golden()["cases"]) {
    const std::string text = c["text"];
    if (text.find('<') != text.npos) continue;
    std::vector<TextRange> plain;
    for (size_t at = 0; at < text.size(); at += 1 + random() % 5) {
      plain.push_back({at, std::min(text.size(), at + random() % 3)});
      at = plain.back().end;
    }
    EXPECT_EQ(Ids(text, {.plain = plain}),
              c["ids"].get<std::vector<int32_t>>());
  }
}

TEST(TokenizerTest, AMegabyteOfOneThingIsNoTrouble) {
  const std::string arabic = "\u0FD0\U0001F9FF";
  for (const std::string& unit :
       {std::string("a"), std::string(" "), std::string("ab"),
        std::string("\n"), std::string("👩‍👩‍👧"), std::string("<"),
        std::string("<bos>"), std::string("<|turn"), arabic}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    EXPECT_EQ(Text(Ids(text)), text) << unit;
  }
}

TEST(TokenizerTest, MissingDirectoryIsNotFound) {
  EXPECT_EQ(Tokenizer::Load("tests/testdata/none").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace facet
