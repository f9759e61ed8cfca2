// The pieces of JSON that every schema shares, as expressions of one builder:
// strings and their characters, white space, numbers, values without
// constraints. The same values can be written as Gemma writes the arguments of
// a tool call.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_TEXT_H_
#define FACET_RUNTIME_GRAMMAR_JSON_TEXT_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/json_value.h"

namespace facet {

enum class ValueSyntax {
  kJson,
  // {key:VALUE,...} without white space. A string stands between two control
  // tokens (kStringMarkerByte), where nothing is escaped; null is None.
  kCall,
};

// Rules are made when they are first asked for.
class JsonText {
 public:
  // `builder` outlives this.
  explicit JsonText(GrammarBuilder* builder,
                    ValueSyntax syntax = ValueSyntax::kJson)
      : builder_(*builder), syntax_(syntax) {}

  ValueSyntax syntax() const { return syntax_; }

  // What opens and closes a string.
  Expr Quote() { return builder_.Literal(call() ? "\xFA" : "\""); }
  Expr Null() { return builder_.Literal(call() ? "None" : "null"); }
  // Exactly this key of a member, or this value, written compactly.
  Expr Key(absl::string_view name);
  std::string TextOf(const JsonValue& value) const;
  // Any key.
  Expr AnyKey();

  // One character of `set` inside a string: as it is, or in its shortest
  // escape where JSON asks for one.
  Expr Character(const CodePoints& set);
  // Any character in any spelling but lone surrogates.
  Expr AnyCharacter();
  // Every character that may stand in a string as it is.
  const CodePoints& PlainCharacters() const;
  // Any characters and the closing quote.
  Expr RestOfString();
  Expr String();

  // At most one space, or a line break with indentation.
  Expr Space();
  // At most one space.
  Expr SpaceAfterColon() {
    return call() ? builder_.Empty() : builder_.Optional(builder_.Literal(" "));
  }

  Expr Integer();
  Expr Number();
  Expr Value();
  Expr Object();
  Expr Array();

  // `{ members }`, where `members` may be empty.
  Expr Braces(Expr members, bool may_be_empty) {
    return Enclose("{", members, may_be_empty, "}");
  }
  Expr Brackets(Expr items, bool may_be_empty) {
    return Enclose("[", items, may_be_empty, "]");
  }
  // `,` and `item`.
  Expr Next(Expr item) {
    return builder_.Concat({builder_.Literal(","), Space(), item});
  }
  // `min` to `max` items with commas between them. REQUIRES: max >= 1.
  Expr List(Expr item, int32_t min, int32_t max);
  // `key`, a colon and `value`.
  Expr Member(Expr key, Expr value) {
    return builder_.Concat(
        {key, builder_.Literal(":"), SpaceAfterColon(), value});
  }

 private:
  Expr Enclose(absl::string_view open, Expr inside, bool may_be_empty,
               absl::string_view close);
  // The rule kept in `slot`, new if there is none: then `define` says what it
  // is.
  template <typename DefineRule>
  Expr Shared(int32_t* slot, const char* name, DefineRule define);
  bool call() const { return syntax_ == ValueSyntax::kCall; }

  GrammarBuilder& builder_;
  const ValueSyntax syntax_;
  int32_t rest_of_string_ = -1;
  int32_t string_ = -1;
  int32_t space_ = -1;
  int32_t integer_ = -1;
  int32_t number_ = -1;
  int32_t value_ = -1;
  int32_t object_ = -1;
  int32_t array_ = -1;
};

// The characters of keys that a call makes up: whatever has no meaning of its
// own there.
const CodePoints& BareKeyCharacters();

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_TEXT_H_
