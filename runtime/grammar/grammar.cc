#include "runtime/grammar/grammar.h"

#include <atomic>
#include <utility>

#include "runtime/grammar/automaton.h"

namespace facet {
namespace {

std::atomic<uint64_t> next_id{1};

}  // namespace

Grammar::Grammar(std::unique_ptr<const Automaton> automaton)
    : id_(next_id.fetch_add(1, std::memory_order_relaxed)),
      automaton_(std::move(automaton)) {}

Grammar::~Grammar() = default;

int64_t Grammar::bytes() const {
  return sizeof(Grammar) + sizeof(Automaton) +
         automaton_->states.capacity() * sizeof(State) +
         automaton_->edges.capacity() * sizeof(ByteEdge) +
         automaton_->targets.capacity() * sizeof(int32_t);
}

}  // namespace facet
