#include "runtime/grammar/grammar_builder.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/automaton_analysis.h"
#include "runtime/grammar/lowering.h"
#include "runtime/grammar/readings.h"

namespace facet {

GrammarBuilder::GrammarBuilder(const GrammarLimits& limits) : limits_(limits) {
  Add({.kind = ExprKind::kEmpty});
  Add({.kind = ExprKind::kNever});
}

Expr GrammarBuilder::Add(ExprNode node) {
  int64_t size = 1;
  for (const Expr part : node.parts) size += nodes_[part].size;
  for (const std::string& text : node.texts) size += text.size();
  size += node.characters.size();
  node.size = static_cast<int32_t>(std::min<int64_t>(size, 1 << 30));
  // Parts are counted where they were added, so this is linear in what is kept.
  total_size_ += 1 + node.parts.size() + node.characters.size();
  for (const std::string& text : node.texts) total_size_ += text.size();
  if (total_size_ > 2 * int64_t{limits_.max_states} && status_.ok()) {
    status_ = absl::ResourceExhaustedError(absl::StrCat(
        "the grammar is too large: more than max_states = ", limits_.max_states,
        " states"));
  }
  if (!status_.ok() && nodes_.size() > 1) return Never();
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size()) - 1;
}

Expr GrammarBuilder::Literal(absl::string_view bytes) {
  if (bytes.empty()) return Empty();
  return Add({.kind = ExprKind::kLiteral, .texts = {std::string(bytes)}});
}

Expr GrammarBuilder::Class(CodePoints characters) {
  characters = Normalized(std::move(characters));
  if (characters.empty()) return Never();
  return Add({.kind = ExprKind::kClass, .characters = std::move(characters)});
}

Expr GrammarBuilder::Concat(std::vector<Expr> parts) {
  for (const Expr part : parts) {
    if (part == Never()) return Never();
  }
  parts.erase(std::remove(parts.begin(), parts.end(), Empty()), parts.end());
  if (parts.empty()) return Empty();
  if (parts.size() == 1) return parts[0];
  return Add({.kind = ExprKind::kConcat, .parts = std::move(parts)});
}

Expr GrammarBuilder::Either(std::vector<Expr> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), Never()), parts.end());
  if (parts.empty()) return Never();
  if (parts.size() == 1) return parts[0];
  return Add({.kind = ExprKind::kEither, .parts = std::move(parts)});
}

Expr GrammarBuilder::Repeat(Expr body, int32_t min, int32_t max) {
  if (max == 0 || body == Empty()) return Empty();
  if (body == Never()) return min == 0 ? Empty() : Never();
  if (min == 1 && max == 1) return body;
  return Add(
      {.kind = ExprKind::kRepeat, .min = min, .max = max, .parts = {body}});
}

Expr GrammarBuilder::Choice(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.empty()) return Never();
  if (texts.size() == 1) return Literal(texts[0]);
  return Add({.kind = ExprKind::kChoice, .texts = std::move(texts)});
}

Expr GrammarBuilder::Rule(int32_t rule) {
  return Add({.kind = ExprKind::kRule, .min = rule});
}

int32_t GrammarBuilder::AddRule(std::string name) {
  if (rule_count() >= limits_.max_rules && status_.ok()) {
    status_ = absl::ResourceExhaustedError(absl::StrCat(
        "the grammar has more than max_rules = ", limits_.max_rules, " rules"));
  }
  if (!status_.ok() && !rules_.empty()) return 0;
  rules_.push_back({std::move(name), Never()});
  return rule_count() - 1;
}

absl::StatusOr<GrammarPtr> GrammarBuilder::Build(int32_t root) {
  FACET_RETURN_IF_ERROR(status_);
  FACET_ASSIGN_OR_RETURN(LoweredGrammar lowered, LowerGrammar(*this, root));
  FACET_RETURN_IF_ERROR(Analyze(*this, &lowered));
  StackPool stacks;
  ReadingsStepper stepper(lowered.automaton, &stacks);
  stepper.Start();
  if (stepper.overflow()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the grammar is too ambiguous: more than max_readings = ",
                     limits_.max_readings, " ways to read the first byte"));
  }
  return std::make_shared<const Grammar>(
      std::make_unique<const Automaton>(std::move(lowered.automaton)));
}

}  // namespace facet
