// GBNF: rules of literals, classes, groups and repetitions.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/pattern_syntax.h"

namespace facet {
namespace {

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '-';
}

class EbnfParser {
 public:
  EbnfParser(absl::string_view text, GrammarBuilder* builder)
      : cursor_{text}, builder_(*builder) {}

  // All rules; returns the root.
  absl::StatusOr<int32_t> Rules() {
    SkipSpace();
    while (!cursor_.done()) {
      const std::string name = Name();
      SkipSpace();
      if (name.empty() || !cursor_.Skip("::=")) {
        return Error("expected a rule, `name ::= ...`,");
      }
      const int32_t rule = RuleOf(name);
      if (builder_.full()) return builder_.status();
      if (defined_[rule]) return Error(absl::StrCat("a second rule ", name));
      defined_[rule] = true;
      FACET_ASSIGN_OR_RETURN(const Sized body, Alternatives());
      builder_.Define(rule, body.expr);
      SkipSpace();
    }
    for (const auto& [name, rule] : rules_) {
      if (!defined_[rule]) {
        return absl::InvalidArgumentError(
            absl::StrCat("rule ", name, " is used but not defined"));
      }
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      return absl::InvalidArgumentError("there is no rule named root");
    }
    return root->second;
  }

  absl::Status Error(absl::string_view what) const {
    int line = 1, column = 1;
    for (size_t i = 0; i < cursor_.at; ++i) {
      column = cursor_.text[i] == '\n' ? 1 : column + 1;
      line += cursor_.text[i] == '\n';
    }
    return absl::InvalidArgumentError(
        absl::StrCat(what, " at line ", line, ", column ", column));
  }

 private:
  struct Sized {
    Expr expr = 0;
    int64_t repetition = 1;  // product of the counts inside one another
  };

  void SkipSpace() {
    while (!cursor_.done()) {
      if (absl::ascii_isspace(cursor_.peek())) {
        ++cursor_.at;
      } else if (cursor_.peek() == '#') {
        cursor_.at =
            std::min(cursor_.text.find('\n', cursor_.at), cursor_.text.size());
      } else {
        return;
      }
    }
  }

  std::string Name() {
    const size_t begin = cursor_.at;
    while (IsNameCharacter(cursor_.peek())) ++cursor_.at;
    return std::string(cursor_.text.substr(begin, cursor_.at - begin));
  }

  int32_t RuleOf(const std::string& name) {
    const auto [place, is_new] = rules_.try_emplace(name, 0);
    if (is_new) {
      place->second = builder_.AddRule(absl::StrCat("rule ", name));
      defined_.resize(builder_.rule_count(), false);
    }
    return place->second;
  }

  absl::StatusOr<Sized> Alternatives() {
    std::vector<Expr> branches;
    int64_t repetition = 1;
    do {
      std::vector<Expr> parts;
      for (;;) {
        FACET_ASSIGN_OR_RETURN(const std::optional<Sized> item, Item());
        if (!item.has_value()) break;
        if (builder_.full()) return builder_.status();
        parts.push_back(item->expr);
        repetition = std::max(repetition, item->repetition);
      }
      branches.push_back(builder_.Concat(std::move(parts)));
    } while (cursor_.Skip("|"));
    return Sized{builder_.Either(std::move(branches)), repetition};
  }

  // An atom and its counts; none at the end of an alternative.
  absl::StatusOr<std::optional<Sized>> Item() {
    SkipSpace();
    FACET_ASSIGN_OR_RETURN(std::optional<Sized> item, Atom());
    if (!item.has_value()) return item;
    for (;;) {
      SkipSpace();
      FACET_ASSIGN_OR_RETURN(const std::optional<Repetition> count,
                             ReadRepetition(builder_.limits(), &cursor_));
      if (!count.has_value()) return item;
      item->expr = builder_.Repeat(item->expr, count->min, count->max);
      item->repetition *= std::max<int64_t>(
          count->max == kUnbounded ? count->min : count->max, 1);
      if (item->repetition > builder_.limits().max_nested_repetition) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "nested counts multiply to more than max_nested_repetition = ",
            builder_.limits().max_nested_repetition));
      }
    }
  }

  absl::StatusOr<std::optional<Sized>> Atom() {
    const auto one = [](Expr expr) {
      return std::optional<Sized>(Sized{.expr = expr});
    };
    if (cursor_.done()) return std::optional<Sized>();
    switch (cursor_.peek()) {
      case '"': {
        FACET_ASSIGN_OR_RETURN(const std::string text, Quoted());
        return one(builder_.Literal(text));
      }
      case '[': {
        absl::StatusOr<CodePoints> set = ReadClass(&cursor_);
        if (!set.ok()) return Error(set.status().message());
        return one(builder_.Class(*std::move(set)));
      }
      case '.':
        cursor_.Skip(".");
        return one(builder_.Class(Complement({})));
      case '(': {
        if (depth_ >= builder_.limits().max_nesting) {
          return absl::ResourceExhaustedError(
              absl::StrCat("groups nested deeper than max_nesting = ",
                           builder_.limits().max_nesting));
        }
        cursor_.Skip("(");
        ++depth_;
        FACET_ASSIGN_OR_RETURN(const Sized group, Alternatives());
        --depth_;
        if (!cursor_.Skip(")")) return Error("expected )");
        return std::optional<Sized>(group);
      }
      default:
        break;
    }
    if (!IsNameCharacter(cursor_.peek())) {
      if (cursor_.peek() == '|' || (depth_ > 0 && cursor_.peek() == ')')) {
        return std::optional<Sized>();
      }
      return Error("expected a literal, class, group or name");
    }
    // A name with ::= behind it begins the next rule.
    const size_t begin = cursor_.at;
    const std::string name = Name();
    SkipSpace();
    if (cursor_.text.substr(cursor_.at, 3) == "::=") {
      cursor_.at = begin;
      return std::optional<Sized>();
    }
    return one(builder_.Rule(RuleOf(name)));
  }

  absl::StatusOr<std::string> Quoted() {
    const size_t begin = cursor_.at;
    cursor_.Skip("\"");
    std::string text;
    while (!cursor_.Skip("\"")) {
      if (cursor_.done()) {
        cursor_.at = begin;
        return Error("a literal without its closing quote");
      }
      if (cursor_.peek() != '\\') {
        text.push_back(cursor_.text[cursor_.at++]);
        continue;
      }
      absl::StatusOr<CodePoints> set = ReadEscape(&cursor_);
      if (!set.ok()) return Error(set.status().message());
      if (set->size() != 1 || (*set)[0].low != (*set)[0].high) {
        return Error("a class inside a literal");
      }
      AppendUtf8((*set)[0].low, &text);
    }
    return text;
  }

  Cursor cursor_;
  GrammarBuilder& builder_;
  absl::flat_hash_map<std::string, int32_t> rules_;
  std::vector<bool> defined_;  // [rules]
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<GrammarPtr> CompileEbnf(absl::string_view text,
                                       const GrammarLimits& limits) {
  FACET_RETURN_IF_ERROR(Annotate(CheckSource(text, limits), "grammar"));
  GrammarBuilder builder(limits);
  EbnfParser parser(text, &builder);
  const absl::StatusOr<int32_t> root = parser.Rules();
  if (!root.ok()) return Annotate(root.status(), "grammar");
  return builder.Build(*root);
}

}  // namespace facet
