// What front ends build grammars from: expressions over characters and rules,
// which Build() turns into an automaton.
#ifndef FACET_RUNTIME_GRAMMAR_GRAMMAR_BUILDER_H_
#define FACET_RUNTIME_GRAMMAR_GRAMMAR_BUILDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/automaton.h"
#include "runtime/grammar/code_points.h"
#include "runtime/grammar/grammar.h"

namespace facet {

// An expression of one builder.
using Expr = int32_t;

enum class ExprKind : uint8_t {
  kEmpty,    // the empty text
  kNever,    // no text
  kLiteral,  // `texts[0]`
  kClass,    // one character of `characters`
  kConcat,   // all of `parts` in a row
  kEither,   // one of `parts`
  kRepeat,   // parts[0], `min` to `max` times
  kChoice,   // one of `texts`, read as a trie
  kRule,     // rule `min`
};

struct ExprNode {
  ExprKind kind = ExprKind::kEmpty;
  int32_t min = 0;
  int32_t max = 0;
  int32_t size = 0;  // about the states it becomes
  std::vector<Expr> parts = {};
  std::vector<std::string> texts = {};
  CodePoints characters = {};
};

struct GrammarRule {
  std::string name;  // for messages
  Expr body = 0;
};

class GrammarBuilder {
 public:
  explicit GrammarBuilder(const GrammarLimits& limits);

  Expr Empty() const { return 0; }
  Expr Never() const { return 1; }
  Expr Literal(absl::string_view bytes);
  Expr Class(CodePoints characters);
  Expr Concat(std::vector<Expr> parts);
  Expr Either(std::vector<Expr> parts);
  // `max` may be kUnbounded. REQUIRES: 0 <= min <= max.
  Expr Repeat(Expr body, int32_t min, int32_t max);
  Expr Optional(Expr body) { return Repeat(body, 0, 1); }
  Expr Choice(std::vector<std::string> texts);
  Expr Rule(int32_t rule);

  // A rule that Define() is called for before Build().
  int32_t AddRule(std::string name);
  void Define(int32_t rule, Expr body) { rules_[rule].body = body; }

  // A limit is exceeded; what is built from here on does not matter, and
  // Build() says which limit it was.
  bool full() const { return !status_.ok(); }
  absl::Status status() const { return status_; }

  const GrammarLimits& limits() const { return limits_; }
  const ExprNode& node(Expr expr) const { return nodes_[expr]; }
  const GrammarRule& rule(int32_t rule) const { return rules_[rule]; }
  int32_t rule_count() const { return static_cast<int32_t>(rules_.size()); }

  // The texts of rule `root`. Errors: those of the factories in grammar.h.
  absl::StatusOr<GrammarPtr> Build(int32_t root);

 private:
  Expr Add(ExprNode node);

  const GrammarLimits limits_;
  std::vector<ExprNode> nodes_;
  std::vector<GrammarRule> rules_;
  int64_t total_size_ = 0;
  absl::Status status_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_GRAMMAR_BUILDER_H_
