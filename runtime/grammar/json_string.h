// Strings that satisfy a schema, as JSON or a call spells them.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_STRING_H_
#define FACET_RUNTIME_GRAMMAR_JSON_STRING_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/json_constraints.h"
#include "runtime/grammar/json_text.h"

namespace facet {

class JsonStrings {
 public:
  // Both outlive this.
  JsonStrings(JsonText* json, GrammarBuilder* builder)
      : json_(*json), builder_(*builder) {}

  // With the lengths, the pattern or the format of `constraints`.
  //
  // Errors: INVALID_ARGUMENT for a pattern that is not supported, or together
  // with a format, another pattern, or lengths that it does not imply.
  absl::StatusOr<Expr> String(const JsonConstraints& constraints);

  // Strings in which `pattern` matches somewhere (anchors bind it to the ends).
  // `where` is named in errors.
  absl::StatusOr<Expr> Matching(absl::string_view pattern,
                                const JsonValue& where,
                                const CountRange& length);

  // Keys of members other than `names`.
  Expr Except(std::vector<std::string> names);

 private:
  Expr ExceptFrom(absl::Span<const std::u32string> names, size_t depth,
                  const CodePoints& characters, Expr end);

  JsonText& json_;
  GrammarBuilder& builder_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_STRING_H_
