#include "rpc/cli/line_edit.h"

#include <clocale>

#include "gtest/gtest.h"

namespace facet {
namespace {

using Result = LineEdit::Result;

const std::vector<std::string> kNone;
const std::vector<std::string> kHistory = {"first", "second"};

// The text with a bar at the cursor.
std::string Typed(const std::string& keys,
                  const std::vector<std::string>& history = kNone) {
  LineEdit line(&history);
  for (const char c : keys) EXPECT_EQ(line.Take(c), Result::kMore) << keys;
  std::string text = line.text();
  return text.insert(line.cursor(), "|");
}

TEST(LineEditTest, KeysMoveAndErase) {
  EXPECT_EQ(Typed("abc"), "abc|");
  EXPECT_EQ(Typed("abc\033[D\033[Dx"), "ax|bc");
  EXPECT_EQ(Typed("abc\033[D\033[C!"), "abc!|");
  EXPECT_EQ(Typed("abc\x7f"), "ab|");
  EXPECT_EQ(Typed("abc\033[D\033[3~"), "ab|");
  EXPECT_EQ(Typed("abc\x01x"), "x|abc");
  EXPECT_EQ(Typed("abc\033[H\033[Fx"), "abcx|");
  EXPECT_EQ(Typed("ab cd\x17"), "ab |");
  EXPECT_EQ(Typed("abcd\033[D\033[D\x0b"), "ab|");
  EXPECT_EQ(Typed("abcd\033[D\033[D\x15"), "|cd");
}

TEST(LineEditTest, CharactersAreOneStepHoweverManyBytesTheyHave) {
  EXPECT_EQ(Typed("ä€😀\x7f"), "ä€|");
  EXPECT_EQ(Typed("ä€😀\033[D\033[D!"), "ä!|€😀");
  EXPECT_EQ(Typed("ä€\x01\033[3~"), "|€");
}

TEST(LineEditTest, TheHistoryComesAndGoesAndTheLineIsKept) {
  EXPECT_EQ(Typed("\033[A", kHistory), "second|");
  EXPECT_EQ(Typed("\033[A\033[A\033[A", kHistory), "first|");
  EXPECT_EQ(Typed("new\033[A\033[A\033[B\033[B\033[B", kHistory), "new|");
  EXPECT_EQ(Typed("\033OA", kHistory), "second|");
}

TEST(LineEditTest, LineBreaksComeByAltEnterAndByPasting) {
  EXPECT_EQ(Typed("a\033\rb"), "a\nb|");
  EXPECT_EQ(Typed("\033[200~a\rb\nc\033[201~"), "a\nb\nc|");
}

TEST(LineEditTest, EnterEndsTheLine) {
  LineEdit line(&kNone);
  EXPECT_EQ(line.Take('a'), Result::kMore);
  EXPECT_EQ(line.Take('\r'), Result::kDone);
  EXPECT_EQ(line.text(), "a");
}

TEST(LineEditTest, ControlDEndsAnEmptyLineAndErasesInAnother) {
  LineEdit empty(&kNone);
  EXPECT_EQ(empty.Take('\x04'), Result::kEnd);
  EXPECT_EQ(Typed("ab\033[D\x04"), "a|");
  LineEdit other(&kNone);
  EXPECT_EQ(other.Take('\x03'), Result::kInterrupt);
}

TEST(LineEditTest, UnknownKeysDoNothing) {
  EXPECT_EQ(Typed("a\033[5~\033[1;5C\033x\x07"
                  "b"),
            "ab|");
  EXPECT_EQ(Typed("a\033[0000000000000000000000b"), "a00000000b|");
}

TEST(DrawLineTest, TheCursorStandsWhereTextGoesOn) {
  EXPECT_EQ(DrawLine("> ", "abc", 3, 80), "\r> abc\033[K\r\033[5C");
  EXPECT_EQ(DrawLine("> ", "abc", 1, 80), "\r> abc\033[K\r\033[3C");
  EXPECT_EQ(DrawLine("", "", 0, 80), "\r\033[K\r");
}

TEST(DrawLineTest, ALongLineIsShownAroundTheCursor) {
  const std::string text(100, 'x');
  EXPECT_EQ(DrawLine("> ", text, 100, 20),
            "\r> " + std::string(17, 'x') + "\033[K\r\033[19C");
  EXPECT_EQ(DrawLine("> ", text, 0, 20),
            "\r> " + std::string(17, 'x') + "\033[K\r\033[2C");
}

TEST(DrawLineTest, LineBreaksAreShownAsASign) {
  EXPECT_EQ(DrawLine("", "a\nb", 3, 80), "\ra↵b\033[K\r\033[3C");
}

}  // namespace
}  // namespace facet
