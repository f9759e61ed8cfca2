#include "runtime/grammar/regex.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/pattern_syntax.h"

namespace facet {
namespace {

struct Piece {
  Expr expr = 0;
  int64_t min_length = 0;
  int64_t max_length = 0;  // or kUnbounded
  int64_t repetition = 1;  // product of the counts inside one another
  bool at_begin = false;   // of a branch that is this piece alone
  bool at_end = false;
};

int64_t Times(int64_t length, int64_t count) {
  if (length == 0 || count == 0) return 0;
  if (length >= kUnbounded || count >= kUnbounded) return kUnbounded;
  return std::min<int64_t>(length * count, kUnbounded);
}

class RegexParser {
 public:
  RegexParser(absl::string_view pattern, const RegexStyle& style,
              GrammarBuilder* builder)
      : cursor_{pattern}, style_(style), builder_(*builder) {}

  // branch | branch | ... up to the end or a closing parenthesis.
  absl::StatusOr<std::vector<Piece>> Branches() {
    std::vector<Piece> branches;
    do {
      FACET_ASSIGN_OR_RETURN(std::vector<Piece> more, Branch());
      branches.insert(branches.end(), more.begin(), more.end());
    } while (cursor_.Skip("|"));
    return branches;
  }

  const Cursor& cursor() const { return cursor_; }

 private:
  // A branch that is only a group stands for the branches of the group, so that
  // anchors inside it are still at an end.
  absl::StatusOr<std::vector<Piece>> Branch() {
    Piece all;
    std::vector<Expr> parts;
    std::vector<Piece> alone;  // the branches of a group without a count
    all.at_begin = SkipAnchor({"^", "\\A"});
    while (!cursor_.done() && cursor_.peek() != '|' && cursor_.peek() != ')') {
      if (builder_.full()) return builder_.status();
      if (SkipAnchor({"$", "\\z", "\\Z"})) {
        all.at_end = true;
        if (!cursor_.done() && cursor_.peek() != '|' && cursor_.peek() != ')') {
          return cursor_.Error("$ is supported at the end only, but more is");
        }
        break;
      }
      std::vector<Piece> choices;
      FACET_ASSIGN_OR_RETURN(Piece piece, Counted(&choices));
      const bool anchored = std::any_of(
          choices.begin(), choices.end(),
          [](const Piece& choice) { return choice.at_begin || choice.at_end; });
      if (anchored) {
        const bool ends =
            cursor_.done() || cursor_.peek() == '|' || cursor_.peek() == ')';
        if (!parts.empty() || all.at_begin || !ends || choices.empty()) {
          return cursor_.Error(
              "an anchor that is not at an end of the pattern");
        }
        return choices;
      }
      parts.push_back(piece.expr);
      all.min_length =
          std::min<int64_t>(all.min_length + piece.min_length, kUnbounded);
      all.max_length =
          std::min<int64_t>(all.max_length + piece.max_length, kUnbounded);
      all.repetition = std::max(all.repetition, piece.repetition);
    }
    all.expr = builder_.Concat(std::move(parts));
    return std::vector<Piece>{all};
  }

  bool SkipAnchor(std::initializer_list<const char*> spellings) {
    for (const char* spelling : spellings) {
      if (cursor_.Skip(spelling)) return true;
    }
    return false;
  }

  // An atom and its count. `choices` receives the branches of an uncounted
  // group.
  absl::StatusOr<Piece> Counted(std::vector<Piece>* choices) {
    FACET_ASSIGN_OR_RETURN(Piece piece, Atom(choices));
    const size_t at = cursor_.at;
    FACET_ASSIGN_OR_RETURN(const std::optional<Repetition> count,
                           ReadRepetition(builder_.limits(), &cursor_));
    if (!count.has_value()) return piece;
    for (const Piece& choice : *choices) {
      if (choice.at_begin || choice.at_end) {
        return cursor_.Error("a repeated anchor");
      }
    }
    choices->clear();
    cursor_.Skip("?");  // lazy: the same texts
    if (cursor_.peek() == '?' || cursor_.peek() == '*' ||
        cursor_.peek() == '+') {
      return cursor_.Error("a repetition of a repetition (use a group)");
    }
    const int64_t most = count->max == kUnbounded ? count->min : count->max;
    piece.repetition *= std::max<int64_t>(most, 1);
    if (piece.repetition > builder_.limits().max_nested_repetition) {
      return absl::ResourceExhaustedError(
          absl::StrCat("nested counts at byte ", at,
                       " multiply to more than max_nested_repetition = ",
                       builder_.limits().max_nested_repetition));
    }
    piece.expr = builder_.Repeat(piece.expr, count->min, count->max);
    piece.min_length = Times(piece.min_length, count->min);
    piece.max_length = Times(piece.max_length, count->max);
    return piece;
  }

  absl::StatusOr<Piece> Atom(std::vector<Piece>* choices) {
    switch (cursor_.peek()) {
      case '(':
        return Group(choices);
      case '[': {
        FACET_ASSIGN_OR_RETURN(const CodePoints set, ReadClass(&cursor_));
        return Character(set);
      }
      case '\\': {
        FACET_ASSIGN_OR_RETURN(const CodePoints set, ReadEscape(&cursor_));
        return Character(set);
      }
      case '.':
        cursor_.Skip(".");
        return Character(Complement(style_.not_dot));
      case '^':
        return cursor_.Error("^ is supported at the beginning only; found");
      case '*':
      case '+':
      case '?':
        return cursor_.Error("a repetition of nothing");
      default: {
        const char32_t c = cursor_.NextCharacter();
        return Character({{c, c}});
      }
    }
  }

  Piece Character(const CodePoints& set) {
    return {.expr = style_.encode(set), .min_length = 1, .max_length = 1};
  }

  absl::StatusOr<Piece> Group(std::vector<Piece>* choices) {
    const size_t begin = cursor_.at;
    if (depth_ >= builder_.limits().max_nesting) {
      return absl::ResourceExhaustedError(
          absl::StrCat("groups nested deeper than max_nesting = ",
                       builder_.limits().max_nesting));
    }
    cursor_.Skip("(");
    if (cursor_.Skip("?") && !cursor_.Skip(":")) {
      const bool look_around = cursor_.peek() == '=' || cursor_.peek() == '!' ||
                               cursor_.text.substr(cursor_.at, 2) == "<=" ||
                               cursor_.text.substr(cursor_.at, 2) == "<!";
      if (look_around) return cursor_.Error("look-around is not supported,");
      const size_t end = cursor_.text.find('>', cursor_.at);
      const bool named = cursor_.Skip("P<") || cursor_.Skip("<");
      if (!named || end == cursor_.text.npos) {
        return cursor_.Error("flags or an unknown kind of group");
      }
      cursor_.at = end + 1;
    }
    ++depth_;
    FACET_ASSIGN_OR_RETURN(*choices, Branches());
    --depth_;
    if (!cursor_.Skip(")")) {
      cursor_.at = begin;
      return cursor_.Error("a group without its )");
    }
    Piece group = choices->front();
    std::vector<Expr> exprs;
    for (const Piece& choice : *choices) {
      exprs.push_back(choice.expr);
      group.min_length = std::min(group.min_length, choice.min_length);
      group.max_length = std::max(group.max_length, choice.max_length);
      group.repetition = std::max(group.repetition, choice.repetition);
    }
    group.expr = builder_.Either(std::move(exprs));
    group.at_begin = group.at_end = false;
    return group;
  }

  Cursor cursor_;
  const RegexStyle& style_;
  GrammarBuilder& builder_;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<ParsedRegex> ParseRegex(absl::string_view pattern,
                                       const RegexStyle& style,
                                       GrammarBuilder* builder) {
  FACET_RETURN_IF_ERROR(CheckSource(pattern, builder->limits()));
  RegexParser parser(pattern, style, builder);
  FACET_ASSIGN_OR_RETURN(const std::vector<Piece> pieces, parser.Branches());
  if (!parser.cursor().done()) return parser.cursor().Error("an unopened )");
  ParsedRegex parsed;
  parsed.min_length = kUnbounded;
  for (const Piece& piece : pieces) {
    parsed.branches.push_back({piece.expr, piece.at_begin, piece.at_end});
    parsed.min_length = std::min(parsed.min_length, piece.min_length);
    parsed.max_length = std::max(parsed.max_length, piece.max_length);
  }
  return parsed;
}

absl::StatusOr<GrammarPtr> CompileRegex(absl::string_view pattern,
                                        const GrammarLimits& limits) {
  GrammarBuilder builder(limits);
  const RegexStyle style = {.encode = [&builder](const CodePoints& set) {
    return builder.Class(set);
  }};
  absl::StatusOr<ParsedRegex> parsed = ParseRegex(pattern, style, &builder);
  if (!parsed.ok()) return Annotate(parsed.status(), "regex");
  std::vector<Expr> branches;
  for (const RegexBranch& branch : parsed->branches) {
    branches.push_back(branch.expr);
  }
  const int32_t root = builder.AddRule("regex");
  builder.Define(root, builder.Either(std::move(branches)));
  return builder.Build(root);
}

absl::StatusOr<GrammarPtr> CompileChoice(absl::Span<const std::string> choices,
                                         const GrammarLimits& limits) {
  int64_t bytes = 0;
  for (const std::string& choice : choices) {
    if (choice.empty()) {
      return absl::InvalidArgumentError("choice: an empty text");
    }
    bytes += choice.size();
    FACET_RETURN_IF_ERROR(Annotate(CheckSource(choice, limits), "choice"));
  }
  if (choices.empty()) return absl::InvalidArgumentError("choice: no choices");
  if (bytes > limits.max_source_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("choice: ", bytes,
                     " bytes; max_source_bytes = ", limits.max_source_bytes));
  }
  GrammarBuilder builder(limits);
  const int32_t root = builder.AddRule("choice");
  builder.Define(root, builder.Choice({choices.begin(), choices.end()}));
  return builder.Build(root);
}

}  // namespace facet
