#include "runtime/executor/fake_executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

absl::Status Refuse(const SequenceSlice& slice, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "sequence ", slice.sequence.value, " at ", slice.start, ": ", what));
}

}  // namespace

FakeExecutor::FakeExecutor(FakeExecutorOptions options)
    : options_(std::move(options)) {
  const KvPoolSizes& sizes = options_.pools;
  sliding_.owner.assign(sizes.sliding_pages, 0);
  sliding_.tokens.assign(sizes.sliding_pages * sizes.page_tokens, -1);
  global_.owner.assign(sizes.global_pages, 0);
  global_.tokens.assign(sizes.global_pages * sizes.page_tokens, -1);
}

int32_t FakeExecutor::NextToken(absl::Span<const int32_t> tokens,
                                int64_t vocab_size) {
  uint64_t hash = 1;
  for (const int32_t token : tokens) hash = Mix(hash ^ Mix(token + 1));
  return static_cast<int32_t>(hash % vocab_size);
}

float FakeExecutor::Logit(absl::Span<const int32_t> tokens, int64_t id,
                          int64_t vocab_size) {
  const int64_t best = NextToken(tokens, vocab_size);
  if (id == best) return 2.0f;
  return static_cast<float>(Mix(best * vocab_size + id) % 1000) / 1000.0f;
}

int64_t FakeExecutor::pages_held() const {
  const auto held = [](const Pool& pool) {
    return std::count_if(pool.owner.begin(), pool.owner.end(),
                         [](uint64_t owner) { return owner != 0; });
  };
  return held(sliding_) + held(global_);
}

absl::Status FakeExecutor::Take(Pool* pool, const SequenceSlice& slice,
                                const std::vector<PageId>& pages) {
  for (const PageId page : pages) {
    if (page.value < 0 ||
        page.value >= static_cast<int64_t>(pool->owner.size())) {
      return Refuse(slice, absl::StrCat("no page ", page.value));
    }
    uint64_t& owner = pool->owner[page.value];
    if (owner != 0) {
      return Refuse(slice, absl::StrCat("page ", page.value,
                                        " belongs to sequence ", owner));
    }
    owner = slice.sequence.value;
  }
  return absl::OkStatus();
}

void FakeExecutor::GiveBack(Pool* pool, SequenceId sequence, PageId page) {
  uint64_t& owner = pool->owner[page.value];
  if (owner == sequence.value) owner = 0;
}

int32_t& FakeExecutor::TokenAt(Pool* pool, const std::vector<PageId>& table,
                               int64_t position) {
  const int page_tokens = options_.pools.page_tokens;
  return pool
      ->tokens[int64_t{table[position / page_tokens].value} * page_tokens +
               position % page_tokens];
}

absl::Status FakeExecutor::UpdateTable(const SequenceSlice& slice) {
  Table& table = tables_[slice.sequence];
  if (slice.tokens.empty()) return Refuse(slice, "no tokens");
  if (slice.start != table.computed) {
    return Refuse(slice, absl::StrCat("a gap, ", table.computed, " expected"));
  }
  FACET_RETURN_IF_ERROR(Take(&sliding_, slice, slice.new_sliding_pages));
  FACET_RETURN_IF_ERROR(Take(&global_, slice, slice.new_global_pages));
  table.sliding.insert(table.sliding.end(), slice.new_sliding_pages.begin(),
                       slice.new_sliding_pages.end());
  table.global.insert(table.global.end(), slice.new_global_pages.begin(),
                      slice.new_global_pages.end());
  table.computed += static_cast<int64_t>(slice.tokens.size());
  const int64_t reach = std::min(table.sliding.size(), table.global.size()) *
                        static_cast<int64_t>(options_.pools.page_tokens);
  if (reach < table.computed) {
    return Refuse(slice, absl::StrCat("tables reach ", reach, " only"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> FakeExecutor::Run(const StepPlan& plan) {
  if (options_.before_step) {
    FACET_RETURN_IF_ERROR(options_.before_step(plan));
  }
  if (plan.step <= last_step_) {
    return absl::InvalidArgumentError(absl::StrCat("step ", plan.step));
  }
  last_step_ = plan.step;

  for (const SequenceId id : plan.finished) {
    const auto table = tables_.find(id);
    if (table == tables_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown sequence ", id.value, " finished"));
    }
    for (int64_t i = table->second.sliding_first_page;
         i < static_cast<int64_t>(table->second.sliding.size()); ++i) {
      GiveBack(&sliding_, id, table->second.sliding[i]);
    }
    for (const PageId page : table->second.global) {
      GiveBack(&global_, id, page);
    }
    tables_.erase(table);
  }
  // Releases of all slices come before grants of any: a page may change hands
  // within a step, as nobody reads behind its window.
  size_t step_tokens = 0;
  for (const SequenceSlice& slice : plan.slices) {
    step_tokens += slice.tokens.size();
    Table& table = tables_[slice.sequence];
    if (slice.sliding_first_page < table.sliding_first_page ||
        slice.sliding_first_page > static_cast<int64_t>(table.sliding.size())) {
      return Refuse(slice, "sliding_first_page out of range");
    }
    for (; table.sliding_first_page < slice.sliding_first_page;
         ++table.sliding_first_page) {
      GiveBack(&sliding_, slice.sequence,
               table.sliding[table.sliding_first_page]);
    }
  }
  if (step_tokens > static_cast<size_t>(options_.max_step_tokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat(step_tokens, " tokens in one step"));
  }
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(UpdateTable(slice));
  }
  for (const SequenceSlice& slice : plan.slices) {
    const Table& table = tables_[slice.sequence];
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      const int64_t position = slice.start + static_cast<int64_t>(i);
      TokenAt(&sliding_, table.sliding, position) = slice.tokens[i];
      TokenAt(&global_, table.global, position) = slice.tokens[i];
    }
  }

  StepResult result;
  result.step = plan.step;
  for (const SequenceSlice& slice : plan.slices) {
    const Table& table = tables_[slice.sequence];
    std::vector<int32_t> seen(table.computed);
    const int64_t window_begin =
        std::max<int64_t>(0, slice.start - options_.sliding_window + 1);
    if (window_begin < table.sliding_first_page * options_.pools.page_tokens) {
      return Refuse(slice, "a page inside the window was taken back");
    }
    for (int64_t i = 0; i < table.computed; ++i) {
      seen[i] = TokenAt(&global_, table.global, i);
      if (i >= window_begin &&
          TokenAt(&sliding_, table.sliding, i) != seen[i]) {
        return Refuse(
            slice, absl::StrCat("position ", i, " differs between the pools"));
      }
    }
    const absl::Span<const int32_t> all(seen);
    if (slice.sample) {
      SampledToken token;
      token.sequence = slice.sequence;
      token.token = NextToken(all, options_.vocab_size);
      if (slice.sampling.logprob) token.logprob = -0.5f;
      for (int k = 0; k < slice.sampling.top_logprobs; ++k) {
        token.top.push_back(
            {(token.token + k) % static_cast<int32_t>(options_.vocab_size),
             -0.5f - static_cast<float>(k)});
      }
      result.tokens.push_back(std::move(token));
    }
    if (slice.logits == LogitsWanted::kNone) continue;
    for (int b = 0; b < options_.logits_blocks; ++b) {
      LogitsBlock block;
      block.sequence = slice.sequence;
      block.first_position =
          slice.logits == LogitsWanted::kAll ? slice.start : table.computed - 1;
      block.rows = table.computed - block.first_position;
      block.vocab_begin = options_.vocab_size * b / options_.logits_blocks;
      block.vocab_end = options_.vocab_size * (b + 1) / options_.logits_blocks;
      for (int64_t row = block.first_position; row < table.computed; ++row) {
        for (int64_t id = block.vocab_begin; id < block.vocab_end; ++id) {
          block.values.push_back(
              Logit(all.subspan(0, row + 1), id, options_.vocab_size));
        }
      }
      result.logits.push_back(std::move(block));
    }
  }
  return result;
}

}  // namespace facet
