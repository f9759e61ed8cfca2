#include "runtime/chat/python_text.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(PythonTextTest, FloatsPrintAsPythonPrintsThem) {
  const struct {
    double value;
    const char* text;
  } kCases[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-1.5, "-1.5"},
      {0.1, "0.1"},
      {100.0, "100.0"},
      {123456.789, "123456.789"},
      {1e15, "1000000000000000.0"},
      {9007199254740993.0, "9007199254740992.0"},
      {1e16, "1e+16"},
      {1e20, "1e+20"},
      {1.5e300, "1.5e+300"},
      {0.0001, "0.0001"},
      {0.00012345, "0.00012345"},
      {0.00001, "1e-05"},
      {-2.5e-7, "-2.5e-07"},
      {5e-324, "5e-324"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {3.141592653589793, "3.141592653589793"},
      {std::numeric_limits<double>::infinity(), "inf"},
      {-std::numeric_limits<double>::infinity(), "-inf"},
  };
  for (const auto& c : kCases) EXPECT_EQ(PythonFloat(c.value), c.text);
}

TEST(PythonTextTest, StripTakesUnicodeSpacesFromBothEnds) {
  EXPECT_EQ(PythonStrip(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f a b\u2003\u3000"),
            "a b");
  EXPECT_EQ(PythonStrip("\u00a0\u0085\u1680\u2028x\u2029\u202f\u205f"), "x");
  EXPECT_EQ(PythonStrip("\u200bx\ufeff"), "\u200bx\ufeff");
  EXPECT_EQ(PythonStrip(" \u3000 "), "");
  EXPECT_EQ(PythonStrip(""), "");
  EXPECT_EQ(PythonStrip(" \xFF "), "\xFF");
  EXPECT_EQ(PythonStrip("\x80 \x80"), "\x80 \x80");
}

TEST(PythonTextTest, CaseChangesReachAllOfUnicode) {
  EXPECT_EQ(PythonUpper("string ß éǆ ﬁ я 𐐨 ŉ"), "STRING SS ÉǄ FI Я 𐐀 ʼN");
  EXPECT_EQ(PythonLower("STRING É Ǆ Я 𐐀 İ Ω"), "string é ǆ я 𐐨 i̇ ω");
  EXPECT_EQ(PythonLower("a\xFF"
                        "B"),
            "a\xFF"
            "b");
}

TEST(PythonTextTest, QuotesFollowRepr) {
  EXPECT_EQ(PythonQuoted("a"), "'a'");
  EXPECT_EQ(PythonQuoted("it's"), "\"it's\"");
  EXPECT_EQ(PythonQuoted("'\""), "'\\'\"'");
  EXPECT_EQ(PythonQuoted("\"\\\n\r\t\x01\x7f"), "'\"\\\\\\n\\r\\t\\x01\\x7f'");
  EXPECT_EQ(PythonQuoted("é\u00a0\u200b\U000e0001😀"),
            "'é\\xa0\\u200b\\U000e0001😀'");
}

}  // namespace
}  // namespace facet
