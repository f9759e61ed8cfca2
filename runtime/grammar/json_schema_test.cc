// Which texts a JSON Schema accepts, and which schemas are refused with what
// words. Expected values are those of the specification.
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/schema_validator.h"
#include "runtime/grammar/testing.h"

namespace facet {
namespace {

struct SchemaCase {
  const char* schema;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

std::string ManyTrue(int count) {
  std::string text = "[true";
  for (int i = 1; i < count; ++i) text += ",true";
  text += "]";
  return text;
}

const SchemaCase kCases[] = {
    {R"(true)", {"1", "null", "[{}]"}, {"", "nul"}},
    {R"({"type":"null"})", {"null"}, {"0"}},
    {R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"1"}},
    {R"({"type":"integer"})",
     {"0", "-7", "123456789012345678"},
     {"01", "1.0", "+1", "-", "1e3", "1234567890123456789"}},
    {R"({"type":"number"})",
     {"0", "-0.5", "1e9", "1.25E-7", "-0"},
     {".5", "1.", "1e", "0x1", "1e999"}},
    {R"({"type":"string"})",
     {R"("")", R"("aé漢😀")", R"("\n\"\\\/\u00e9\ud83d\ude00")"},
     {R"("a)", "\"\n\"", R"("\x")", R"("\ud83d")", R"("\udc00")", "\"\xff\"",
      "'a'"}},
    {R"({"type":"string","minLength":2,"maxLength":3})",
     {R"("ab")", R"("é漢")", R"("\ud83d\ude00a")", R"("\n\n\n")"},
     {R"("a")", R"("abcd")", R"("")"}},
    {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
    {R"({"type":"string","pattern":"^[A-Z]{2}-\\d+$"})",
     {R"("AB-1")", R"("ZZ-123")"},
     {R"("AB-")", R"("xAB-1")", R"("AB-1 ")"}},
    {R"({"type":"string","pattern":"a\"b"})",
     {R"("a\"b")", R"("xa\"by")"},
     {R"("a")", R"("a"b")"}},
    {R"({"type":"string","pattern":"^a|b$"})",
     {R"("a")", R"("axx")", R"("xxb")"},
     {R"("xa")", R"("bx")"}},
    {R"({"type":"string","pattern":"^\\w{2,5}$","minLength":1,"maxLength":5})",
     {R"("ab")"},
     {R"("a")", R"("abcdef")"}},
    {R"({"type":"string","format":"date"})",
     {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
     {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")",
      R"("2024-13-01")", R"("24-01-01")"}},
    {R"({"type":"string","format":"date-time"})",
     {R"("2024-05-06T23:59:59Z")", R"("2024-05-06T00:00:00.123+01:30")"},
     {R"("2024-05-06T24:00:00Z")", R"("2024-05-06 00:00:00Z")",
      R"("2024-05-06T00:00:00")"}},
    {R"({"type":"string","format":"uuid"})",
     {R"("123e4567-e89b-12d3-a456-426614174000")"},
     {R"("123e4567e89b12d3a456426614174000")"}},
    {R"({"type":"string","format":"ipv4"})",
     {R"("192.168.0.255")", R"("0.0.0.0")"},
     {R"("256.1.1.1")", R"("1.2.3")", R"("01.2.3.4")"}},
    {R"({"type":"string","format":"ipv6"})",
     {R"("::")", R"("::1")", R"("2001:db8::8a2e:370:7334")",
      R"("1:2:3:4:5:6:7:8")", R"("1:2:3:4:5:6:7::")"},
     {R"("1:2:3")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8:9")"}},
    {R"({"type":"string","format":"email"})",
     {R"("a.b+c@example.org")"},
     {R"("a@b")", R"("@example.org")", R"("a..b@example.org")"}},
    {R"({"type":"string","format":"uri"})",
     {R"("https://example.org/a/b?c=d#e")", R"("mailto:a@b.c")"},
     {R"("example.org")", R"("http://a b")"}},
    {R"({"type":"integer","minimum":0,"maximum":10})",
     {"0", "9", "10"},
     {"-1", "11", "100", "00"}},
    {R"({"type":"integer","minimum":-12,"exclusiveMaximum":345})",
     {"-12", "-1", "0", "99", "344"},
     {"-13", "345", "-0", "1000"}},
    {R"({"type":"integer","exclusiveMinimum":99})",
     {"100", "123456789"},
     {"99", "9", "0", "-100"}},
    {R"({"type":"integer","minimum":1.5,"maximum":3.5})",
     {"2", "3"},
     {"1", "4"}},
    {R"({"type":"number","minimum":0,"maximum":1})",
     {"0", "1", "0.5", "0.999"},
     {"1.1", "-0.1", "2"}},
    {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":0.25})",
     {"0.001", "0.2", "0.2499", "0.1"},
     {"0", "0.0", "0.25", "0.3", "0.250"}},
    {R"({"type":"number","minimum":-2.5,"maximum":-0.5})",
     {"-2.5", "-1", "-0.5", "-0.75"},
     {"-2.51", "-0.4", "0", "1"}},
    {R"({"type":"number","minimum":1e2})", {"100", "100.5"}, {"99.9"}},
    {R"({"type":"number","multipleOf":1})", {"3"}, {"3.5"}},
    {R"({"enum":["a",1,null,{"b":[true]}]})",
     {R"("a")", "1", "null", R"({"b":[true]})"},
     {R"("b")", "2"}},
    {R"({"type":"string","enum":["a",1,"b"]})", {R"("b")"}, {"1"}},
    {R"({"const":"x\ny"})", {R"("x\ny")"}, {R"("x")"}},
    {R"({"type":"array"})", {"[]", "[1,[2]]", "[1, 2]", "[\n  1\n]"}, {"[1,]"}},
    {R"({"type":"array","items":{"type":"integer"},"minItems":1,)"
     R"("maxItems":3})",
     {"[1]", "[1,2,3]"},
     {"[]", "[1,2,3,4]", "[null]"}},
    {R"({"type":"array","items":{"type":"boolean"},"minItems":100})",
     {ManyTrue(100), ManyTrue(101)},
     {ManyTrue(99)}},
    {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"null"}],)"
     R"("items":false})",
     {"[]", "[1]", "[1,null]"},
     {"[null]", "[1,null,2]"}},
    {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"null"}],)"
     R"("items":{"type":"string"},"minItems":2,"maxItems":3})",
     {"[1,null]", R"([1,null,"a"])"},
     {"[1]", R"([1,null,"a","b"])", "[1,null,3]"}},
    {R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"}},
    {R"({"type":"object"})",
     {"{}", R"({"a":1})", R"({"a": {"b": []}, "c": null})"},
     {R"({"a"})", R"({a:1})", R"({"a":1,})"}},
    {R"({"type":"object","properties":{}})", {"{}"}, {R"({"a":1})"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},)"
     R"("b":{"type":"string"},"c":{"type":"null"}},"required":["b"]})",
     {R"({"b":"x"})", R"({"a":1,"b":"x"})", R"({"a":1,"b":"x","c":null})",
      R"({"b":"x","c":null})", "{\n  \"b\": \"x\"\n}", R"({ "b": "x" })"},
     {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x","d":1})",
      R"({"b":"x",})", R"({,"b":"x"})", R"({"b"  :"x"})"}},
    {R"({"properties":{"a":true,"b":true},"type":"object"})",
     {"{}", R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"},
     {R"({"b":1,"a":1})", R"({"c":1})"}},
    {R"({"type":"object","properties":{"ab":{"type":"integer"}},)"
     R"("additionalProperties":{"type":"string"}})",
     {R"({"ab":1})", R"({"a":"x"})", R"({"ab":1,"abc":"x","b":"y"})",
      R"({"":"x"})", R"({"x\n":"y"})"},
     {R"({"ab":"x"})", R"({"a":1})", R"({"\u0061b":"x"})",
      R"({"ab":1,"ab":"x"})"}},
    {R"({"type":"object","additionalProperties":{"type":"integer"},)"
     R"("minProperties":1,"maxProperties":2})",
     {R"({"a":1})", R"({"a":1,"b":2})"},
     {"{}", R"({"a":1,"b":2,"c":3})"}},
    {R"({"type":"object","propertyNames":{"enum":["x","y"]},)"
     R"("additionalProperties":{"type":"integer"}})",
     {R"({"x":1})", "{}"},
     {R"({"z":1})"}},
    {R"({"type":"object","patternProperties":{"^k\\d$":{"type":"null"}},)"
     R"("additionalProperties":false})",
     {R"({"k1":null})", "{}"},
     {R"({"k":null})", R"({"k1":1})"}},
    {R"({"type":"object","required":["x"]})",
     {R"({"x":1})", R"({"x":[],"y":2})"},
     {"{}", R"({"y":1})"}},
    {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
     {"1", R"("a")"},
     {R"("ab")", "null"}},
    {R"({"type":"object","properties":{"k":{"type":"integer"}},)"
     R"("required":["k"],"anyOf":[{"properties":{"a":{"type":"null"}},)"
     R"("required":["a"]},{"properties":{"b":{"type":"null"}},)"
     R"("required":["b"]}]})",
     {R"({"k":1,"a":null})", R"({"k":1,"b":null})"},
     {R"({"k":1})", R"({"k":1,"a":null,"b":null})"}},
    {R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5}]})",
     {"3", "5"},
     {"2", "6"}},
    {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},)"
     R"("required":["a"]},{"properties":{"a":{"minimum":5},"b":true}}]})",
     {R"({"a":5})", R"({"a":6,"b":1})"},
     {R"({"a":4})", R"({"b":1})"}},
    {R"({"oneOf":[{"type":"integer"},{"type":"string"}]})",
     {"1", R"("a")"},
     {"null"}},
    {R"({"oneOf":[{"type":"object","properties":{"t":{"const":"a"},)"
     R"("x":{"type":"integer"}},"required":["t","x"]},{"type":"object",)"
     R"("properties":{"t":{"const":"b"}},"required":["t"]}],)"
     R"("discriminator":{"propertyName":"t"}})",
     {R"({"t":"a","x":1})", R"({"t":"b"})"},
     {R"({"t":"c"})", R"({"t":"b","x":1})"}},
    {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":)"
     R"({"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},)"
     R"({"type":"null"}]}},"required":["v","next"]}}})",
     {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
     {R"({"v":1})", R"({"v":1,"next":{}})"}},
    {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
    {R"({"definitions":{"a/b":{"type":"null"}},"$ref":"#/definitions/a~1b"})",
     {"null"},
     {"1"}},
    {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", {"null"}, {"1"}},
    {R"({"type":"integer","nullable":true})", {"1", "null"}, {R"("a")"}},
    {R"({"title":"t","description":"d","default":1,"examples":[],)"
     R"("$schema":"s","$comment":"c","x-note":1,"type":"null"})",
     {"null"},
     {"1"}},
    {R"({"type":"object","properties":{"a\"b\\":{"type":"null"}},)"
     R"("required":["a\"b\\"]})",
     {R"({"a\"b\\":null})"},
     {R"({"a"b":null})"}},
    {R"({"type":"object","properties":{"a":{"enum":[]},"b":{"type":"null"}}})",
     {"{}", R"({"b":null})"},
     {R"({"a":1})"}},
};

TEST(CompileJsonSchema, AcceptsCompactAndModeratelySpacedValues) {
  for (const SchemaCase& c : kCases) {
    const auto grammar = CompileJsonSchema(c.schema, {});
    ASSERT_TRUE(grammar.ok()) << c.schema << ": " << grammar.status();
    for (const std::string& text : c.yes) {
      EXPECT_TRUE(Matches(*grammar, text)) << c.schema << " on " << text;
    }
    for (const std::string& text : c.no) {
      EXPECT_FALSE(Matches(*grammar, text)) << c.schema << " on " << text;
    }
  }
}

TEST(CompileJsonSchema, WhiteSpaceEnds) {
  const auto grammar = CompileJsonSchema("{}", {});
  GrammarMatcher matcher(*grammar);
  ASSERT_TRUE(matcher.Accept("[").ok());
  int accepted = 0;
  for (const char* space : {"\n", " ", "\t"}) {
    while (matcher.Accept(space).ok()) ++accepted;
  }
  EXPECT_GT(accepted, 10);
  EXPECT_LT(accepted, 100);
}

struct RefusalCase {
  const char* schema;
  std::vector<const char*> says;
};

TEST(CompileJsonSchema, RefusalNamesPointerAndKeyword) {
  const RefusalCase cases[] = {
      {"{", {"not JSON"}},
      {"{\"a\":1,\"a\":2}", {"two members named \"a\""}},
      {"3", {"#: expected a schema"}},
      {R"({"type":"int"})", {"#/type: expected null, boolean"}},
      {R"({"properties":{"a/b":{"not":{}}}})",
       {"#/properties/a~1b/not: this keyword is not supported"}},
      {R"({"type":"number","multipleOf":0.5})", {"#/multipleOf"}},
      {R"({"type":"array","uniqueItems":true})", {"#/uniqueItems"}},
      {R"({"type":"array","contains":{}})", {"#/contains"}},
      {R"({"if":{},"then":{}})", {"#/if"}},
      {R"({"minlength":3})", {"#/minlength: this keyword"}},
      {R"({"type":"string","minLength":-1})", {"#/minLength: expected"}},
      {R"({"type":"string","minLength":"1"})", {"#/minLength: expected"}},
      {R"({"type":"string","pattern":"(?=a)b"})", {"#/pattern", "look-around"}},
      {R"({"type":"string","pattern":"^a*$","maxLength":3})",
       {"#/pattern", "maxLength"}},
      {R"({"type":"string","pattern":"a","format":"date"})",
       {"#/format", "together with #/pattern"}},
      {R"({"type":"string","format":"iri"})", {"#/format", "date-time"}},
      {R"({"enum":["a"],"pattern":"b"})", {"#/enum/0"}},
      {R"({"$ref":"http://example.org"})", {"#/$ref: only references inside"}},
      {R"({"$ref":"#/$defs/a"})", {"#/$ref: nothing at #/$defs/a"}},
      {R"({"$ref":"#"})", {"does not end"}},
      {R"({"type":"null","$ref":"#"})", {"refers to itself"}},
      {R"({"allOf":[{"$ref":"#"}]})", {"refers to itself"}},
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":)"
       R"({"n":{"$ref":"#/$defs/n"}},"required":["n"]}}})",
       {"no text satisfies it"}},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})",
       {"#/oneOf: branches 0 and 1"}},
      {R"({"anyOf":[]})", {"#/anyOf: expected an array of schemas"}},
      {R"(false)", {"no text satisfies it"}},
      {R"({"type":"integer","minimum":5,"maximum":4})",
       {"no text satisfies it"}},
      {R"({"type":"object","properties":{},"additionalProperties":false,)"
       R"("required":["a"]})",
       {"no text satisfies it"}},
      {R"({"type":"object","properties":{"a":true,"b":true},)"
       R"("minProperties":1})",
       {"minProperties"}},
      {R"({"properties":{"a":true},"patternProperties":{"b":true}})",
       {"#/patternProperties"}},
  };
  for (const RefusalCase& c : cases) {
    const auto grammar = CompileJsonSchema(c.schema, {});
    ASSERT_FALSE(grammar.ok()) << c.schema;
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument);
    for (const char* says : c.says) {
      EXPECT_TRUE(absl::StrContains(grammar.status().message(), says))
          << c.schema << ": " << grammar.status();
    }
  }
}

TEST(CompileJsonObject, AcceptsObjectsAlone) {
  const auto grammar = CompileJsonObject();
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  EXPECT_TRUE(Matches(*grammar, R"({"a":[1,{"b":null}],"c":"d"})"));
  EXPECT_FALSE(Matches(*grammar, "[]"));
  EXPECT_FALSE(Matches(*grammar, " {}"));
}

// Every range of small integers, against counting.
TEST(IntegerRanges, AreExact) {
  for (const auto& [low, high] :
       std::vector<std::pair<int, int>>{{0, 0},
                                        {1, 9},
                                        {-3, 3},
                                        {7, 121},
                                        {-105, -8},
                                        {-20, 0},
                                        {95, 1005},
                                        {10, 10},
                                        {199, 201},
                                        {-1000, 999}}) {
    const auto grammar =
        CompileJsonSchema(absl::StrCat(R"({"type":"integer","minimum":)", low,
                                       R"(,"maximum":)", high, "}"),
                          {});
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    for (int value = -1300; value <= 1300; ++value) {
      EXPECT_EQ(Matches(*grammar, absl::StrCat(value)),
                low <= value && value <= high)
          << value << " in " << low << ".." << high;
    }
  }
}

// Whatever way an answer takes through the grammar, it ends in JSON that
// satisfies the schema.
TEST(RandomAnswers, AreJsonThatSatisfiesTheSchema) {
  for (const SchemaCase& c : kCases) {
    const auto grammar = CompileJsonSchema(c.schema, {});
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    // Random characters would take for ever to contain this by chance.
    if (absl::StrContains(c.schema, R"("pattern":"a\"b")")) continue;
    const auto schema = nlohmann::json::parse(c.schema);
    for (uint32_t seed = 0; seed < 20; ++seed) {
      std::mt19937 random(seed);
      const std::string text = RandomText(*grammar, 60, &random);
      const auto value = nlohmann::json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded())
          << c.schema << " seed " << seed << ": " << text;
      EXPECT_EQ(WhyInvalid(schema, schema, value), "")
          << c.schema << " seed " << seed << ": " << text;
    }
  }
}

TEST(HostileSchemas, EndInBoundedTime) {
  std::string deep, refs = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 30'000; ++i) deep += R"({"items":)";
  for (int i = 0; i < 5'000; ++i) {
    absl::StrAppend(&refs, "\"d", i, "\":{\"allOf\":[{\"$ref\":\"#/$defs/d",
                    i + 1, "\"}]},");
  }
  refs += R"("d5000":{"type":"null"}}})";
  // 2^20 combinations, in one schema and through references.
  std::string unions = R"({"type":"object","allOf":[)";
  std::string doubling = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&unions, i ? "," : "",
                    R"({"anyOf":[{"required":["a"]},{"required":["b"]}]})");
  }
  std::string dead_ends = unions + R"(,{"anyOf":[false,false]}]})";
  unions += "]}";
  std::string braces = R"({"type":"string","pattern":")";
  braces += std::string(200'000, '{') + R"("})";
  std::string shapes = R"({"allOf":[)";
  for (int i = 0; i < 900; ++i) {
    absl::StrAppend(&shapes, i ? "," : "",
                    R"({"additionalProperties":{},"properties":{)");
    for (int j = 0; j < 20; ++j) {
      absl::StrAppend(&shapes, j ? "," : "", "\"", i * 20 + j, "\":{}");
    }
    shapes += "}}";
  }
  shapes += "]}";
  std::string required, properties;
  for (int i = 0; i < 700; ++i) {
    absl::StrAppend(&required, i ? "," : "", "\"", i, "\"");
    absl::StrAppend(&properties, i ? "," : "", "\"", i, "\":{}");
  }
  std::string alike = R"({"oneOf":[)";
  for (int i = 0; i < 15; ++i) {
    absl::StrAppend(&alike, i ? "," : "", R"({"type":"object","required":[)",
                    required, R"(],"properties":{)", properties, "}}");
  }
  alike += "]}";
  for (int i = 0; i < 200; ++i) {
    const std::string next =
        absl::StrCat(R"({"$ref":"#/$defs/d)", i + 1, "\"}");
    absl::StrAppend(&doubling, "\"d", i, R"(":{"type":"object","properties":)",
                    R"({"a":)", next, R"(,"b":)", next, "}},");
  }
  doubling += R"("d200":{"type":"null"}}})";
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 10'000; ++i) {
    absl::StrAppend(&wide, i ? "," : "", "\"p", i, "\":{}");
  }
  wide += "}}";
  std::string one_of = R"({"oneOf":[)";
  for (int i = 0; i < 3'000; ++i) {
    absl::StrAppend(&one_of, i ? "," : "", R"({"const":)", i, "}");
  }
  one_of += "]}";
  std::string names = R"({"type":"object","additionalProperties":true,)"
                      R"("properties":{)";
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&names, i ? "," : "", "\"", std::string(10'000, 'a' + i),
                    "\":{}");
  }
  names += "}}";
  std::string prefix = R"({"type":"array","prefixItems":[)";
  for (int i = 0; i < 20'000; ++i) prefix += i ? ",{}" : "{}";
  prefix += "]}";
  const std::vector<std::string> schemas = {
      deep,
      refs,
      unions,
      dead_ends,
      braces,
      shapes,
      alike,
      doubling,
      wide,
      one_of,
      names,
      prefix,
      R"({"type":"array","items":{"type":"array","items":{"type":"array",)"
      R"("maxItems":100000},"maxItems":100000},"maxItems":100000})",
      R"({"type":"string","maxLength":100000000000000000000})",
      R"({"type":"string","minLength":100000000000000000000})",
      R"({"type":"number","minimum":1e400,"maximum":1e-400})",
      R"({"type":"number","minimum":1e999999999})",
      R"({"type":"string","pattern":"^((a{1,99}){1,99}){1,99}$"})",
      R"({"type":"string","pattern":"(a*)*(.*)*b"})",
  };
  for (const std::string& schema : schemas) {
    const auto start = std::chrono::steady_clock::now();
    const auto grammar = CompileJsonSchema(schema, {});
    if (grammar.ok()) {
      GrammarMatcher matcher(*grammar);
      for (int i = 0; i < 100; ++i) {
        for (const char* text : {"\"", "a", "[", "{", "1"}) {
          if (matcher.Accept(text).ok()) break;
        }
      }
      EXPECT_LT((*grammar)->bytes(), 32 << 20);
    } else {
      EXPECT_NE(grammar.status().code(), absl::StatusCode::kInternal);
    }
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 10) << schema.substr(0, 80);
  }
}

// Schemas with a byte changed, dropped or repeated: each ends in a grammar that
// has a text, or in an error.
TEST(MutatedSchemas, CompileOrAreRefused) {
  std::mt19937 random(11);
  int compiled = 0;
  for (int round = 0; round < 10'000; ++round) {
    std::string schema = kCases[random() % std::size(kCases)].schema;
    for (int changes = 1 + random() % 2; changes > 0; --changes) {
      const size_t at = random() % schema.size();
      switch (random() % 4) {
        case 0:
          schema[at] = "{}[]\",:0a\\"[random() % 10];
          break;
        case 1:
          schema.erase(at, 1 + random() % 4);
          break;
        case 2:
          schema.insert(at, schema.substr(random() % schema.size(), 12));
          break;
        default:
          schema[at] = static_cast<char>('0' + random() % 10);
      }
      if (schema.empty()) schema = "{";
    }
    const auto grammar = CompileJsonSchema(schema, {});
    if (!grammar.ok()) {
      EXPECT_FALSE(grammar.status().message().empty());
      continue;
    }
    ++compiled;
    const GrammarMatcher matcher(*grammar);
    EXPECT_FALSE(matcher.readings().dead()) << schema;
  }
  EXPECT_GT(compiled, 50);
}

}  // namespace
}  // namespace facet
