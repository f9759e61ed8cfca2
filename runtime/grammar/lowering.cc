#include "runtime/grammar/lowering.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace facet {
namespace {

// A repetition of at most this many states is written out, which reads faster
// than counting; anything larger counts on the stack.
constexpr int64_t kMostWrittenOut = 64;

// Works backwards: an expression is lowered in front of the state that follows
// it, so common endings are shared and nothing needs to be patched.
class Lowering {
 public:
  Lowering(const GrammarBuilder& builder, LoweredGrammar* out)
      : builder_(builder),
        out_(*out),
        entries_(builder.rule_count(), kEndState) {
    NewState({.kind = StateKind::kEnd});
  }

  void Run(int32_t root) {
    out_.automaton.start = Entry(root);
    while (!waiting_.empty() && !full()) {
      rule_ = waiting_.back();
      waiting_.pop_back();
      const int32_t body = Lower(builder_.rule(rule_).body, kEndState);
      State& entry = out_.automaton.states[entries_[rule_]];
      entry.a = NewTargets({body});
      entry.b = 1;
    }
  }

  bool full() const {
    return static_cast<int64_t>(out_.automaton.states.size()) +
               static_cast<int64_t>(out_.automaton.edges.size() / 2) >
           builder_.limits().max_states;
  }

 private:
  int32_t NewState(const State& state) {
    out_.automaton.states.push_back(state);
    out_.rule_of.push_back(rule_);
    return static_cast<int32_t>(out_.automaton.states.size()) - 1;
  }

  int32_t NewTargets(absl::Span<const int32_t> targets) {
    auto& all = out_.automaton.targets;
    all.insert(all.end(), targets.begin(), targets.end());
    return static_cast<int32_t>(all.size() - targets.size());
  }

  int32_t Split(std::vector<int32_t> targets) {
    std::sort(targets.begin(), targets.end());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    if (targets.size() == 1) return targets[0];
    const int32_t first = NewTargets(targets);
    return NewState({.kind = StateKind::kSplit,
                     .a = first,
                     .b = static_cast<int32_t>(targets.size())});
  }

  int32_t Bytes(std::vector<ByteEdge> edges) {
    std::sort(edges.begin(), edges.end(),
              [](const ByteEdge& x, const ByteEdge& y) {
                return std::tie(x.target, x.low) < std::tie(y.target, y.low);
              });
    auto& all = out_.automaton.edges;
    const size_t first = all.size();
    for (const ByteEdge& edge : edges) {
      if (all.size() > first && all.back().target == edge.target &&
          edge.low <= all.back().high + 1) {
        all.back().high = std::max(all.back().high, edge.high);
      } else {
        all.push_back(edge);
      }
    }
    return NewState({.kind = StateKind::kBytes,
                     .a = static_cast<int32_t>(first),
                     .b = static_cast<int32_t>(all.size() - first)});
  }

  // One byte and then `next`; the same state every time.
  int32_t OneByte(ByteRange range, int32_t next) {
    const auto [place, is_new] =
        one_byte_.try_emplace({range.low, range.high, next}, 0);
    if (is_new) place->second = Bytes({{range.low, range.high, next}});
    return place->second;
  }

  int32_t LowerLiteral(absl::string_view text, int32_t next) {
    for (size_t i = text.size(); i > 0; --i) {
      const uint8_t byte = text[i - 1];
      next = OneByte({byte, byte}, next);
    }
    return next;
  }

  int32_t LowerClass(const CodePoints& characters, int32_t next) {
    std::vector<ByteEdge> edges;
    for (const std::vector<ByteRange>& form : Utf8Forms(characters)) {
      int32_t target = next;
      for (size_t i = form.size() - 1; i > 0; --i) {
        target = OneByte(form[i], target);
      }
      edges.push_back({form[0].low, form[0].high, target});
    }
    return Bytes(std::move(edges));
  }

  // The sorted, distinct `texts` without their first `depth` bytes, as a trie.
  int32_t LowerChoice(absl::Span<const std::string> texts, size_t depth,
                      int32_t next) {
    if (full()) return next;
    const absl::string_view first = absl::string_view(texts.front());
    if (texts.size() == 1) return LowerLiteral(first.substr(depth), next);
    const absl::string_view last = absl::string_view(texts.back());
    size_t branch = depth;
    while (branch < first.size() && first[branch] == last[branch]) ++branch;
    if (branch > depth) {
      return LowerLiteral(first.substr(depth, branch - depth),
                          LowerChoice(texts, branch, next));
    }
    std::vector<int32_t> targets;
    if (texts[0].size() == depth) {
      targets.push_back(next);
      texts.remove_prefix(1);
    }
    std::vector<ByteEdge> edges;
    while (!texts.empty()) {
      const char byte = texts[0][depth];
      size_t count = 1;
      while (count < texts.size() && texts[count][depth] == byte) ++count;
      edges.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte),
                       LowerChoice(texts.first(count), depth + 1, next)});
      texts.remove_prefix(count);
    }
    targets.push_back(Bytes(std::move(edges)));
    return Split(std::move(targets));
  }

  int32_t LowerRepeat(const ExprNode& node, int32_t next) {
    const Expr body = node.parts[0];
    const int64_t size = builder_.node(body).size;
    const bool unbounded = node.max == kUnbounded;
    const int64_t copies = unbounded ? int64_t{node.min} + 1 : node.max;
    if (copies > 1 && size * copies > kMostWrittenOut) {
      const int32_t entry = Lower(body, kEndState);
      return NewState({.kind = StateKind::kRepeat,
                       .a = entry,
                       .b = next,
                       .min = node.min,
                       .max = node.max});
    }
    int32_t at = next;
    if (unbounded) {
      at = NewState({.kind = StateKind::kSplit});
      const int32_t loop = Lower(body, at);
      const int32_t targets = NewTargets({loop, next});
      out_.automaton.states[at].a = targets;
      out_.automaton.states[at].b = 2;
    } else {
      for (int32_t i = node.min; i < node.max; ++i) {
        at = Split({Lower(body, at), next});
      }
    }
    for (int32_t i = 0; i < node.min; ++i) at = Lower(body, at);
    return at;
  }

  int32_t Lower(Expr expr, int32_t next) {
    if (full()) return next;
    const ExprNode& node = builder_.node(expr);
    switch (node.kind) {
      case ExprKind::kEmpty:
        return next;
      case ExprKind::kNever:
        return Bytes({});
      case ExprKind::kLiteral:
        return LowerLiteral(node.texts[0], next);
      case ExprKind::kClass:
        return LowerClass(node.characters, next);
      case ExprKind::kConcat:
        for (size_t i = node.parts.size(); i > 0; --i) {
          next = Lower(node.parts[i - 1], next);
        }
        return next;
      case ExprKind::kEither: {
        std::vector<int32_t> targets;
        for (const Expr part : node.parts) {
          targets.push_back(Lower(part, next));
        }
        return Split(std::move(targets));
      }
      case ExprKind::kRepeat:
        return LowerRepeat(node, next);
      case ExprKind::kChoice:
        return LowerChoice(node.texts, 0, next);
      case ExprKind::kRule: {
        const int32_t entry = Entry(node.min);
        // A call at the end of a rule needs no way back, so lists written as
        // right recursion do not grow the stack.
        if (next == kEndState) return entry;
        return NewState({.kind = StateKind::kCall, .a = entry, .b = next});
      }
    }
    return next;
  }

  int32_t Entry(int32_t rule) {
    if (entries_[rule] == kEndState) {
      entries_[rule] = NewState({.kind = StateKind::kSplit});
      out_.rule_of.back() = rule;
      waiting_.push_back(rule);
    }
    return entries_[rule];
  }

  const GrammarBuilder& builder_;
  LoweredGrammar& out_;
  std::vector<int32_t> entries_;  // kEndState: not met yet
  std::vector<int32_t> waiting_;  // rules with an entry and no body yet
  int32_t rule_ = 0;              // whose body is being lowered
  absl::flat_hash_map<std::tuple<uint8_t, uint8_t, int32_t>, int32_t> one_byte_;
};

}  // namespace

absl::StatusOr<LoweredGrammar> LowerGrammar(const GrammarBuilder& builder,
                                            int32_t root) {
  LoweredGrammar lowered;
  lowered.automaton.limits = builder.limits();
  Lowering lowering(builder, &lowered);
  lowering.Run(root);
  if (lowering.full()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the grammar is too large: more than max_states = ",
                     builder.limits().max_states, " states"));
  }
  return lowered;
}

}  // namespace facet
