// Which texts regular expressions, EBNF and choices accept, and what is refused
// at compile time. JSON Schema has json_schema_test.cc.
#include "runtime/grammar/grammar.h"

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/testing.h"

namespace facet {
namespace {

struct PatternCase {
  const char* pattern;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

TEST(CompileRegex, AcceptsExactlyTheTextsThatMatchAsAWhole) {
  const PatternCase cases[] = {
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"", {""}, {"a"}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"(a|b)*c", {"c", "abbac"}, {"ab", "cc"}},
      {"a{2,4}", {"aa", "aaa", "aaaa"}, {"a", "aaaaa"}},
      {"a{3}", {"aaa"}, {"aa", "aaaa"}},
      {"a{2,}b", {"aab", "aaaaaab"}, {"ab"}},
      {"(?:ab){0,100}", {"", "abab"}, {"aba"}},
      {"a+?b??", {"a", "aab"}, {"b"}},
      {"[a-c^-]+", {"abc^-"}, {"d"}},
      {"[^a-c]", {"d", "\n", "é", "😀"}, {"a", "", "dd"}},
      {"[]a]+", {"]a]"}, {"b"}},
      {"\\d\\w\\s", {"1_ ", "7a\t"}, {"a_ ", "1- "}},
      {"\\D\\W\\S", {"a-b", "é x"}, {"1-b"}},
      {"[\\d.]+", {"1.5"}, {"a"}},
      {"[^\\s\"]+", {"a,b"}, {"a b", "a\"", "a\u00a0"}},
      {".", {"x", "ß", "漢", "😀"}, {"\n", "xx", "\xff", "\xed\xa0\x80"}},
      {"\\x41\\u00e9\\x{1F600}\\ud83d\\ude00", {"Aé😀😀"}, {"A"}},
      {"^abc$", {"abc"}, {"^abc$"}},
      {"^(?:a|b)$", {"a", "b"}, {"ab"}},
      {"(^a$|^b$)", {"a", "b"}, {"ab"}},
      {"(?P<year>\\d{4})-(?<month>\\d\\d)", {"2024-05"}, {"2024-5"}},
      {"\\$\\^\\.\\[\\(\\\\", {"$^.[(\\"}, {"$"}},
      {"a{x}", {"a{x}"}, {"a"}},
      {"[а-я]+", {"привет"}, {"hello", "прив\xd0"}},
      {"(a?){50}(a){3}",
       {"aaa", std::string(53, 'a')},
       {"aa", std::string(54, 'a')}},
      {"((a{1,3}){2,3}b){2}", {"aabaab", "aaaaaaaaabaab"}, {"abaab"}},
      {"(x*y*){0,1000}z", {"z", "xxyyxyz"}, {"xy"}},
      {"(?:[0-9]{1,3}\\.){3}[0-9]{1,3}", {"192.168.0.1"}, {"192.168.0"}},
      {"[a-z]{3,200}",
       {"abc", std::string(200, 'q')},
       {"ab", std::string(201, 'q')}},
      {"(ab|a|b){100,}",
       {std::string(100, 'a'), std::string(150, 'b')},
       {std::string(99, 'a')}},
  };
  for (const PatternCase& c : cases) {
    const auto grammar = CompileRegex(c.pattern, {});
    ASSERT_TRUE(grammar.ok()) << c.pattern << ": " << grammar.status();
    for (const std::string& text : c.yes) {
      EXPECT_TRUE(Matches(*grammar, text)) << c.pattern << " on " << text;
    }
    for (const std::string& text : c.no) {
      EXPECT_FALSE(Matches(*grammar, text)) << c.pattern << " on " << text;
    }
  }
}

struct RefusalCase {
  const char* source;
  const char* says;
};

TEST(CompileRegex, RefusalNamesWhatIsNotSupported) {
  const RefusalCase cases[] = {
      {"a(?=b)", "look-around"},
      {"(?<!a)b", "look-around"},
      {"(a)\\1", "back-reference"},
      {"\\bword", "word boundary \\b"},
      {"\\p{L}", "Unicode property"},
      {"(?i)a", "flags"},
      {"(a", "without its )"},
      {"a)", "unopened )"},
      {"[a", "without its ]"},
      {"[z-a]", "bad range"},
      {"*a", "repetition of nothing"},
      {"a**", "repetition of a repetition"},
      {"a{3,2}", "out of order"},
      {"a{,3}", "minimum"},
      {"a^b", "beginning only"},
      {"a$b", "at the end only"},
      {"(^a)b", "not at an end"},
      {"\\", "backslash at the end"},
      {"\\q", "escape \\q"},
      {"\\xZZ", "bad escape"},
      {"\\ud800", "lone surrogate"},
      {"[[:alpha:]]", "named class"},
      {"\xff", "UTF-8"},
      {"[^\\s\\S]", "no text satisfies it"},
  };
  for (const RefusalCase& c : cases) {
    const auto grammar = CompileRegex(c.source, {});
    ASSERT_FALSE(grammar.ok()) << c.source;
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(grammar.status().message()).find(c.says),
              std::string::npos)
        << c.source << ": " << grammar.status();
  }
}

TEST(CompileEbnf, AcceptsExactlyTheTextsThatRootDerives) {
  const PatternCase cases[] = {
      {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"maybe", "yesno"}},
      {"# sums\nroot ::= term (\"+\" term)*  # one or more\n"
       "term ::= [0-9]+ | \"(\" root \")\"\n",
       {"1", "1+(2+33)", "((7))"},
       {"", "1+", "(1", "1)"}},
      {"root ::= item{2,3}\nitem ::= [a-z] \",\"?", {"ab", "a,b,c"}, {"a"}},
      {"root  ::=\n  a\n  | b\na ::= \"\\x41\\u00e9\\n\"\nb ::= [^\"\\\\]",
       {"Aé\n", "x"},
       {"\"", "\\"}},
      {"root ::= ws \"x\"\nws ::= [ \\t\\n]*", {"x", " \n\tx"}, {"y"}},
      {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"aab", "ba"}},
      {"list ::= \"x\" list | \"x\"\nroot ::= list", {"x", "xxxx"}, {""}},
      {"root ::= .+", {"a\nb"}, {""}},
      {"root ::= a-b_1\na-b_1 ::= \"ok\"", {"ok"}, {"a"}},
  };
  for (const PatternCase& c : cases) {
    const auto grammar = CompileEbnf(c.pattern, {});
    ASSERT_TRUE(grammar.ok()) << c.pattern << ": " << grammar.status();
    for (const std::string& text : c.yes) {
      EXPECT_TRUE(Matches(*grammar, text)) << c.pattern << " on " << text;
    }
    for (const std::string& text : c.no) {
      EXPECT_FALSE(Matches(*grammar, text)) << c.pattern << " on " << text;
    }
  }
}

TEST(CompileEbnf, RefusalNamesRuleOrPlace) {
  const RefusalCase cases[] = {
      {"root ::= a", "rule a is used but not defined"},
      {"start ::= \"a\"", "no rule named root"},
      {"root ::= \"a", "line 1, column 10"},
      {"root ::= \"a\"\nroot ::= \"b\"", "second rule root"},
      {"root ::= (\"a\"", "expected )"},
      {"root = \"a\"", "expected a rule"},
      {"root ::= root \"a\" | \"b\"", "left recursion"},
      {"root ::= e\ne ::= s e \"x\" | \"y\"\ns ::= \" \"*", "left recursion"},
      {"root ::= \"a\" root", "no text satisfies it"},
      {"root ::= [z-a]", "bad range"},
      {"root ::= \"\\d\"", "class inside a literal"},
      {"root ::= \"a\" )", "expected a literal"},
  };
  for (const RefusalCase& c : cases) {
    const auto grammar = CompileEbnf(c.source, {});
    ASSERT_FALSE(grammar.ok()) << c.source;
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(grammar.status().message()).find(c.says),
              std::string::npos)
        << c.source << ": " << grammar.status();
  }
}

TEST(CompileChoice, AcceptsTheChoicesAlone) {
  const std::vector<std::string> choices = {"a", "ab", "abc", "über", "b"};
  const auto grammar = CompileChoice(choices, {});
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (const std::string& choice : choices) {
    EXPECT_TRUE(Matches(*grammar, choice)) << choice;
  }
  EXPECT_FALSE(Matches(*grammar, "abcd"));
  EXPECT_FALSE(Matches(*grammar, ""));
  EXPECT_FALSE(CompileChoice({}, {}).ok());
  EXPECT_FALSE(CompileChoice({"a", ""}, {}).ok());
}

TEST(GrammarMatcher, RefusedBytesLeaveItWhereItWas) {
  GrammarMatcher matcher(*CompileRegex("ab(c|d)", {}));
  ASSERT_TRUE(matcher.Accept("ab").ok());
  const std::string key = matcher.StateKey(100);
  EXPECT_FALSE(matcher.Accept("cc").ok());
  EXPECT_EQ(matcher.StateKey(100), key);
  EXPECT_FALSE(matcher.CanEnd());
  GrammarMatcher copy = matcher;
  EXPECT_TRUE(copy.Accept("d").ok());
  EXPECT_TRUE(copy.IsFinished());
  EXPECT_FALSE(matcher.CanEnd());
}

TEST(GrammarMatcher, KeyForgetsCountsBeyondTheHorizon) {
  const auto grammar = CompileRegex("[a-z]{1000,5000}", {});
  GrammarMatcher here(*grammar), there(*grammar);
  ASSERT_TRUE(here.Accept(std::string(100, 'x')).ok());
  ASSERT_TRUE(there.Accept(std::string(300, 'x')).ok());
  EXPECT_EQ(here.StateKey(32), there.StateKey(32));
  EXPECT_NE(here.StateKey(800), there.StateKey(800));
}

TEST(GrammarMatcher, RightRecursionKeepsTheStackFlat) {
  const auto grammar =
      CompileEbnf("root ::= \"x\" root | \"y\"", {.max_stack = 4});
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  EXPECT_TRUE(Matches(*grammar, std::string(10'000, 'x') + "y"));
}

// The limit never leads into a dead end: what cannot be closed cannot be
// opened.
TEST(GrammarMatcher, NestingStopsWhereItCouldStillBeClosed) {
  const auto grammar = CompileEbnf(
      "root ::= \"[\" inner \"]\"\ninner ::= root | \"x\"", {.max_stack = 10});
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  GrammarMatcher matcher(*grammar);
  int depth = 0;
  while (matcher.Accept("[").ok()) ++depth;
  EXPECT_EQ(depth, 10);
  ASSERT_TRUE(matcher.Accept("x").ok());
  ASSERT_TRUE(matcher.Accept(std::string(depth, ']')).ok());
  EXPECT_TRUE(matcher.IsFinished());
}

// Compiling, and following a text of 200 bytes if it compiles, ends quickly in
// an answer or an error.
TEST(HostileGrammars, EndInBoundedTime) {
  std::string nested = "a";
  for (int i = 0; i < 100; ++i) nested = absl::StrCat("(", nested, "){1,100}");
  std::string stars = "a";
  for (int i = 0; i < 100; ++i) stars = absl::StrCat("(", stars, "*b?)*");
  std::string options, deep(200'000, '('), chain = "root ::= r0\n";
  for (int i = 0; i < 60'000; ++i) options += "a?";
  for (int i = 0; i < 9'000; ++i) {
    absl::StrAppend(&chain, "r", i, " ::= r", i + 1, " r", i + 1, "\n");
  }
  absl::StrAppend(&chain, "r9000 ::= \"a\"?");
  const std::vector<std::string> patterns = {
      nested,
      stars,
      options,
      deep,
      "(a{1,1000}){1,1000}",
      "((a|b|ab){1,1000}){1,900}",
      "(a|a)*(a|aa)+(a|aaa)+(aa|a)+$",
      "([a-z]{0,1000}){0,1000}x",
      "(.*a){1,30}.*b",
      "(a{0,100000}b{0,100000}){0,10}",
      "a{100000}{100000}",
      std::string(250'000, '.'),
  };
  for (const std::string& pattern : patterns) {
    const auto start = std::chrono::steady_clock::now();
    const auto grammar = CompileRegex(pattern, {});
    if (grammar.ok()) {
      GrammarMatcher matcher(*grammar);
      for (int i = 0; i < 200 && matcher.Accept("a").ok(); ++i) {
      }
      EXPECT_LT((*grammar)->bytes(), 32 << 20);
    }
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 10) << pattern.substr(0, 60);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto grammar = CompileEbnf(chain, {});
  EXPECT_FALSE(grammar.ok()) << "2^9000 ways to be empty";
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 10);
}

// Sources made of the notations' own pieces: each ends in an error, or in a
// grammar that can be followed byte by byte.
TEST(RandomSources, CompileOrAreRefused) {
  const std::vector<std::string> pieces = {
      "a", "b",  "(", ")",  "[",   "]",     "^",   "$",   "|",     "*",
      "+", "?",  ".", "\\", "{2}", "{1,3}", "\\d", "\"",  " ::= ", "root",
      "x", "\n", "-", "é",  "{",   "}",     "(?:", "\\u", "41",    "\xff"};
  std::mt19937 random(5);
  int compiled = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string source = round % 2 ? "root ::= " : "";
    for (int i = random() % 12; i >= 0; --i) {
      source += pieces[random() % pieces.size()];
    }
    const auto grammar =
        round % 2 ? CompileEbnf(source, {}) : CompileRegex(source, {});
    if (!grammar.ok()) continue;
    ++compiled;
    const std::string text = RandomText(*grammar, 1, &random);
    GrammarMatcher matcher(*grammar);
    EXPECT_TRUE(matcher.Accept(text).ok()) << source << " on " << text;
  }
  EXPECT_GT(compiled, 500);
}

}  // namespace
}  // namespace facet
