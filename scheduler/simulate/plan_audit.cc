#include "scheduler/simulate/plan_audit.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

template <typename... Parts>
absl::Status Wrong(const SequenceSlice& slice, const Parts&... parts) {
  return absl::InternalError(absl::StrCat("sequence ", slice.sequence.value,
                                          " at ", slice.start, ": ", parts...));
}

int64_t EndOf(const SequenceSlice& slice) {
  return slice.start + static_cast<int64_t>(slice.tokens.size());
}

}  // namespace

PlanAudit::PlanAudit(const SchedulerLimits& limits, NextToken next_token)
    : limits_(limits), next_token_(std::move(next_token)) {
  Restart();
}

void PlanAudit::Add(SequenceId id, const SequenceRequest& request, int family) {
  Known& known = known_[id];
  known.request = request;
  known.family = family;
  known.text = request.prompt;
}

void PlanAudit::SetMask(SequenceId id, std::shared_ptr<const TokenMask> mask,
                        int64_t length) {
  Known& known = known_.at(id);
  known.mask = std::move(mask);
  known.mask_length = length;
}

void PlanAudit::End(SequenceId id) { known_.at(id).ended = true; }

void PlanAudit::Restart() {
  tables_.clear();
  sliding_.pages.assign(limits_.pools.sliding_pages, Page());
  global_.pages.assign(limits_.pools.global_pages, Page());
  sliding_.used = global_.used = 0;
  completed_ = last_step_;
}

int64_t PlanAudit::computed(SequenceId id) const {
  const auto table = tables_.find(id);
  return table == tables_.end() ? 0 : table->second.computed;
}

int32_t PlanAudit::Token(SequenceId id, int64_t position) {
  Known& known = known_.at(id);
  while (static_cast<int64_t>(known.text.size()) <= position) {
    known.text.push_back(next_token_(known.request, known.text));
  }
  return known.text[position];
}

void PlanAudit::Leave(Pool* pool, PageId page) {
  if (--pool->pages[page.value].tables == 0) --pool->used;
}

void PlanAudit::Drop(const Table& table) {
  for (int64_t i = table.sliding_first; i < table.sliding.end(); ++i) {
    Leave(&sliding_, table.sliding.at(i));
  }
  for (const PageId page : table.global.pages) Leave(&global_, page);
}

absl::Status PlanAudit::CheckStep(const StepPlan& plan) const {
  if (plan.step != last_step_ + 1) {
    return absl::InternalError(
        absl::StrCat("step ", plan.step, " follows step ", last_step_));
  }
  if (plan.completed != completed_) {
    return absl::InternalError(absl::StrCat("step ", plan.step, ": completed ",
                                            plan.completed, ", applied are ",
                                            completed_));
  }
  int64_t tokens = 0;
  int64_t rows = 0;
  absl::flat_hash_set<SequenceId> named(plan.finished.begin(),
                                        plan.finished.end());
  if (named.size() != plan.finished.size()) {
    return absl::InternalError("a sequence is finished twice in one step");
  }
  for (const SequenceSlice& slice : plan.slices) {
    if (!named.insert(slice.sequence).second) {
      return Wrong(slice, "named twice in one step");
    }
    if (slice.tokens.empty()) return Wrong(slice, "no tokens");
    tokens += static_cast<int64_t>(slice.tokens.size());
    if (slice.logits == LogitsWanted::kAll) {
      rows += static_cast<int64_t>(slice.tokens.size());
    }
  }
  if (tokens > limits_.max_step_tokens || rows > limits_.max_logits_rows) {
    return absl::InternalError(absl::StrCat(
        "a step of ", tokens, " tokens and ", rows, " rows of logits"));
  }
  if (plan.slices.empty() && plan.finished.empty()) {
    return absl::InternalError("a step of nothing");
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::CheckShared(const Pool& pool,
                                    const SequenceSlice& slice,
                                    const Page& page, int64_t index) {
  const int64_t size = limits_.pools.page_tokens;
  if (page.index != index || page.filled != size) {
    return Wrong(slice, "shares a ", pool.name, " page ", index, " that holds ",
                 page.filled, " tokens of page ", page.index);
  }
  const Known& own = known_.at(slice.sequence);
  const Known& other = known_.at(page.writer);
  const bool may_share = own.request.cache_salt == other.request.cache_salt &&
                         (limits_.prefix_cache || own.family == other.family);
  if (!may_share) return Wrong(slice, "shares a page it must not see");
  const int64_t end = (index + 1) * size;
  Token(slice.sequence, end - 1);
  Token(page.writer, end - 1);
  if (!std::equal(own.text.begin(), own.text.begin() + end,
                  other.text.begin())) {
    return Wrong(slice, "shares a ", pool.name, " page ", index,
                 " of another text");
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::GrantFrom(Pool* pool, const SequenceSlice& slice,
                                  const std::vector<PageId>& pages,
                                  List* list) {
  const int64_t size = limits_.pools.page_tokens;
  for (const PageId id : pages) {
    if (id.value < 0 || id.value >= static_cast<int64_t>(pool->pages.size())) {
      return Wrong(slice, "no ", pool->name, " page ", id.value);
    }
    const int64_t index = list->end();
    Page& page = pool->pages[id.value];
    if ((index + 1) * size <= slice.start) {
      FACET_RETURN_IF_ERROR(CheckShared(*pool, slice, page, index));
    } else if (page.tables > 0) {
      return Wrong(slice, pool->name, " page ", id.value,
                   " is granted, another sequence has it");
    } else {
      page = Page();
    }
    if (page.tables++ == 0) ++pool->used;
    list->pages.push_back(id);
  }
  const int64_t needed = (EndOf(slice) + size - 1) / size;
  if (list->end() != needed) {
    return Wrong(slice, "its ", pool->name, " pages end at ", list->end(),
                 ", the slice at ", needed);
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::Begin(const SequenceSlice& slice) {
  const Known& known = known_.at(slice.sequence);
  const SequenceStart& begins = *slice.begins;
  if (slice.start % limits_.pools.page_tokens != 0) {
    return Wrong(slice, "begins inside a page");
  }
  if (begins.prompt_tokens !=
      static_cast<int64_t>(known.request.prompt.size())) {
    return Wrong(slice, begins.prompt_tokens, " tokens of prompt");
  }
  const int64_t earlier = known.request.sampling.Penalises() ? slice.start : 0;
  if (static_cast<int64_t>(begins.earlier_tokens.size()) != earlier) {
    return Wrong(slice, begins.earlier_tokens.size(), " earlier tokens");
  }
  for (int64_t i = 0; i < earlier; ++i) {
    if (begins.earlier_tokens[i] != Token(slice.sequence, i)) {
      return Wrong(slice, "earlier token ", i, " is wrong");
    }
  }
  Table& table = tables_[slice.sequence];
  table.computed = slice.start;
  table.sliding_first = table.sliding.first = slice.sliding_first_page;
  if (static_cast<int>(tables_.size()) > limits_.max_sequences) {
    return Wrong(slice, "begins beside ", tables_.size() - 1, " others");
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::Grant(const SequenceSlice& slice) {
  Table& table = tables_.at(slice.sequence);
  FACET_RETURN_IF_ERROR(
      GrantFrom(&sliding_, slice, slice.new_sliding_pages, &table.sliding));
  return GrantFrom(&global_, slice, slice.new_global_pages, &table.global);
}

absl::Status PlanAudit::CheckTokens(const SequenceSlice& slice,
                                    const Table& table) {
  const Known& known = known_.at(slice.sequence);
  const auto prompt = static_cast<int64_t>(known.request.prompt.size());
  if (slice.start != table.computed) {
    return Wrong(slice, "a gap, ", table.computed, " is next");
  }
  const int64_t most =
      prompt + std::max<int64_t>(known.request.max_tokens - 1, 0);
  if (EndOf(slice) > most) return Wrong(slice, "beyond its end at ", most);
  for (int64_t i = slice.start; i < EndOf(slice); ++i) {
    const int32_t token = slice.tokens[i - slice.start];
    if (token == kSampledToken) {
      if (slice.tokens.size() != 1 || table.drawn != i) {
        return Wrong(slice, "stands for a token that was not drawn");
      }
      if (known.request.masked) return Wrong(slice, "masked and not known");
    } else if (token != Token(slice.sequence, i)) {
      return Wrong(slice, "token ", i, " is ", token, ", not ",
                   Token(slice.sequence, i));
    }
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::CheckSampling(const SequenceSlice& slice,
                                      const Table& table) {
  const Known& known = known_.at(slice.sequence);
  const auto prompt = static_cast<int64_t>(known.request.prompt.size());
  if (!slice.sample) {
    return slice.mask == nullptr ? absl::OkStatus()
                                 : Wrong(slice, "a mask and nothing drawn");
  }
  if (EndOf(slice) < prompt || known.request.prompt_logits ||
      EndOf(slice) - prompt >= known.request.max_tokens) {
    return Wrong(slice, "draws a token nobody wants");
  }
  if (table.drawn >= EndOf(slice)) return Wrong(slice, "draws a token again");
  if (known.request.masked &&
      (slice.mask == nullptr || slice.mask != known.mask ||
       known.mask_length != EndOf(slice))) {
    return Wrong(slice, "draws under a mask of other tokens");
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::Write(Pool* pool, const SequenceSlice& slice,
                              const List& list) {
  const int64_t size = limits_.pools.page_tokens;
  for (int64_t i = slice.start; i < EndOf(slice); ++i) {
    Page& page = pool->pages[list.at(i / size).value];
    if (page.tables != 1) {
      return Wrong(slice, "writes to a ", pool->name, " page of ", page.tables,
                   " sequences");
    }
    page.writer = slice.sequence;
    page.index = i / size;
    page.filled = i % size + 1;
  }
  return absl::OkStatus();
}

absl::Status PlanAudit::Plan(const StepPlan& plan) {
  FACET_RETURN_IF_ERROR(CheckStep(plan));
  last_step_ = plan.step;
  for (const SequenceId id : plan.finished) {
    const auto table = tables_.find(id);
    if (table == tables_.end()) {
      return absl::InternalError(absl::StrCat(
          "sequence ", id.value, " is finished, workers do not know it"));
    }
    Drop(table->second);
    tables_.erase(table);
  }
  // All releases come before the first grant.
  for (const SequenceSlice& slice : plan.slices) {
    const auto known = known_.find(slice.sequence);
    if (known == known_.end() || known->second.ended) {
      return Wrong(slice, "has ended or never was");
    }
    if (slice.begins.has_value() == has_table(slice.sequence)) {
      return Wrong(
          slice, slice.begins.has_value() ? "begins again" : "does not begin");
    }
    const int64_t behind =
        std::max<int64_t>(0, slice.start - limits_.sliding_window + 1) /
        limits_.pools.page_tokens;
    if (slice.sliding_first_page != behind) {
      return Wrong(slice, "keeps sliding pages from ", slice.sliding_first_page,
                   " on, ", behind, " is the first in sight");
    }
    if (slice.begins.has_value()) {
      FACET_RETURN_IF_ERROR(Begin(slice));
    } else {
      Table& table = tables_.at(slice.sequence);
      for (; table.sliding_first < behind; ++table.sliding_first) {
        Leave(&sliding_, table.sliding.at(table.sliding_first));
      }
    }
  }
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(Grant(slice));
  }
  for (const SequenceSlice& slice : plan.slices) {
    Table& table = tables_.at(slice.sequence);
    FACET_RETURN_IF_ERROR(CheckTokens(slice, table));
    FACET_RETURN_IF_ERROR(CheckSampling(slice, table));
    FACET_RETURN_IF_ERROR(Write(&sliding_, slice, table.sliding));
    FACET_RETURN_IF_ERROR(Write(&global_, slice, table.global));
    table.computed = EndOf(slice);
    if (slice.sample) table.drawn = EndOf(slice);
  }
  return absl::OkStatus();
}

}  // namespace facet
