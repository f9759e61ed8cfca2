#include "runtime/grammar/json_text.h"

#include <string>
#include <utility>

#include "runtime/grammar/control_bytes.h"
#include "runtime/grammar/json_value.h"

namespace facet {
namespace {

constexpr int kMaxIndentation = 40;
constexpr int kMoreDigits = 17;  // after the first digit

}  // namespace

const CodePoints& BareKeyCharacters() {
  static const CodePoints* const characters =
      new CodePoints(Complement({{0, ' '},
                                 {'"', '"'},
                                 {',', ','},
                                 {':', ':'},
                                 {'[', '['},
                                 {']', ']'},
                                 {'{', '{'},
                                 {'}', '}'},
                                 {0x7F, 0xA0},
                                 {0x2000, 0x200F},
                                 {0x2028, 0x202F}}));
  return *characters;
}

const CodePoints& JsonText::PlainCharacters() const {
  static const CodePoints* const plain =
      new CodePoints(Complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}));
  static const CodePoints* const any = new CodePoints(Complement({}));
  return call() ? *any : *plain;
}

namespace {

// `name` as a key in a call: bare where that is read back as it was meant.
std::string CallKey(absl::string_view name) {
  constexpr absl::string_view kSpace = " \t\n\v\f\r";
  const bool bare = !name.empty() && name.find(':') == name.npos &&
                    absl::string_view(",]}").find(name.front()) == name.npos &&
                    kSpace.find(name.front()) == name.npos &&
                    kSpace.find(name.back()) == name.npos;
  const std::string text(name.data(), name.size());
  return bare ? text : kStringMarkerByte + text + kStringMarkerByte;
}

std::string CallText(const JsonValue& value) {
  std::string text;
  switch (value.kind) {
    case JsonKind::kNull:
      return "None";
    case JsonKind::kBoolean:
      return value.boolean ? "true" : "false";
    case JsonKind::kNumber:
      return value.text;
    case JsonKind::kString:
      return kStringMarkerByte + value.text + kStringMarkerByte;
    case JsonKind::kArray:
      for (const JsonValue& item : value.items) {
        text += (text.empty() ? "" : ",") + CallText(item);
      }
      return "[" + text + "]";
    case JsonKind::kObject:
      for (const JsonValue& item : value.items) {
        text += (text.empty() ? "" : ",") + CallKey(item.name) + ":" +
                CallText(item);
      }
      return "{" + text + "}";
  }
  return text;
}

}  // namespace

Expr JsonText::Key(absl::string_view name) {
  return builder_.Literal(call() ? CallKey(name) : JsonQuoted(name));
}

std::string JsonText::TextOf(const JsonValue& value) const {
  return call() ? CallText(value) : CompactText(value);
}

Expr JsonText::AnyKey() {
  if (!call()) return String();
  return builder_.Repeat(builder_.Class(BareKeyCharacters()), 1, kUnbounded);
}

template <typename DefineRule>
Expr JsonText::Shared(int32_t* slot, const char* name, DefineRule define) {
  if (*slot < 0) {
    *slot = builder_.AddRule(name);
    const Expr body = define();
    builder_.Define(*slot, body);
  }
  return builder_.Rule(*slot);
}

Expr JsonText::Character(const CodePoints& set) {
  if (call()) return builder_.Class(set);
  std::vector<std::string> escapes;
  for (const CodePointRange& range : set) {
    for (char32_t c = range.low; c <= range.high && c <= '\\'; ++c) {
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      const std::string quoted = JsonQuoted(std::string(1, c));
      escapes.push_back(quoted.substr(1, quoted.size() - 2));
    }
  }
  return builder_.Either({builder_.Class(Intersection(set, PlainCharacters())),
                          builder_.Choice(std::move(escapes))});
}

Expr JsonText::AnyCharacter() {
  if (call()) return builder_.Class(PlainCharacters());
  GrammarBuilder& b = builder_;
  const auto hex = [&](int count) {
    return b.Repeat(b.Class({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}), count,
                    count);
  };
  const CodePoints d = {{'D', 'D'}, {'d', 'd'}};
  // \u0000 to \uD7FF and \uE000 to \uFFFF, or a high and a low surrogate.
  const Expr no_d =
      b.Class({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
  const Expr basic =
      b.Either({b.Concat({no_d, hex(3)}),
                b.Concat({b.Class(d), b.Class({{'0', '7'}}), hex(2)})});
  const Expr pair =
      b.Concat({b.Class(d), b.Class({{'8', '9'}, {'A', 'B'}, {'a', 'b'}}),
                hex(2), b.Literal("\\u"), b.Class(d),
                b.Class({{'C', 'F'}, {'c', 'f'}}), hex(2)});
  const Expr escape =
      b.Either({b.Choice({"\"", "\\", "/", "b", "f", "n", "r", "t"}),
                b.Concat({b.Literal("u"), b.Either({basic, pair})})});
  return b.Either(
      {b.Class(PlainCharacters()), b.Concat({b.Literal("\\"), escape})});
}

Expr JsonText::RestOfString() {
  return Shared(&rest_of_string_, "string", [this] {
    return builder_.Concat(
        {builder_.Repeat(AnyCharacter(), 0, kUnbounded), Quote()});
  });
}

Expr JsonText::String() {
  return Shared(&string_, "string", [this] {
    return builder_.Concat({Quote(), RestOfString()});
  });
}

Expr JsonText::Space() {
  if (call()) return builder_.Empty();
  return Shared(&space_, "white space", [this] {
    const Expr indentation = builder_.Repeat(
        builder_.Class({{' ', ' '}, {'\t', '\t'}}), 0, kMaxIndentation);
    return builder_.Optional(builder_.Either(
        {builder_.Literal(" "),
         builder_.Concat({builder_.Literal("\n"), indentation})}));
  });
}

Expr JsonText::Integer() {
  return Shared(&integer_, "integer", [this] {
    const Expr digits = builder_.Concat(
        {builder_.Class({{'1', '9'}}),
         builder_.Repeat(builder_.Class({{'0', '9'}}), 0, kMoreDigits)});
    return builder_.Concat({builder_.Optional(builder_.Literal("-")),
                            builder_.Either({builder_.Literal("0"), digits})});
  });
}

Expr JsonText::Number() {
  return Shared(&number_, "number", [this] {
    GrammarBuilder& b = builder_;
    const Expr digit = b.Class({{'0', '9'}});
    const Expr fraction =
        b.Concat({b.Literal("."), b.Repeat(digit, 1, kMoreDigits + 1)});
    const Expr exponent =
        b.Concat({b.Class({{'E', 'E'}, {'e', 'e'}}),
                  b.Optional(b.Choice({"+", "-"})), b.Repeat(digit, 1, 2)});
    return b.Concat({Integer(), b.Optional(fraction), b.Optional(exponent)});
  });
}

Expr JsonText::Value() {
  return Shared(&value_, "value", [this] {
    return builder_.Either({String(), Number(), Object(), Array(), Null(),
                            builder_.Choice({"true", "false"})});
  });
}

Expr JsonText::Object() {
  return Shared(&object_, "object", [this] {
    return Braces(List(Member(AnyKey(), Value()), 1, kUnbounded), true);
  });
}

Expr JsonText::Array() {
  return Shared(&array_, "array", [this] {
    return Brackets(List(Value(), 1, kUnbounded), true);
  });
}

Expr JsonText::Enclose(absl::string_view open, Expr inside, bool may_be_empty,
                       absl::string_view close) {
  const Expr filled = builder_.Concat({inside, Space()});
  return builder_.Concat({builder_.Literal(open), Space(),
                          may_be_empty ? builder_.Optional(filled) : filled,
                          builder_.Literal(close)});
}

Expr JsonText::List(Expr item, int32_t min, int32_t max) {
  const Expr more = builder_.Repeat(Next(item), min > 0 ? min - 1 : 0,
                                    max == kUnbounded ? kUnbounded : max - 1);
  const Expr list = builder_.Concat({item, more});
  return min == 0 ? builder_.Optional(list) : list;
}

absl::StatusOr<GrammarPtr> CompileJsonObject(const GrammarLimits& limits) {
  GrammarBuilder builder(limits);
  JsonText json(&builder);
  const int32_t root = builder.AddRule("JSON object");
  builder.Define(root, json.Object());
  return builder.Build(root);
}

}  // namespace facet
