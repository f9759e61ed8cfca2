// Keeps books of the pages that plans hand to workers and finds plans that
// break the step protocol (runtime/plan/step_plan.h) or memory's limits.
//
// Knows more than workers do: which text each sequence will have, to the last
// token. So it can tell for every page what is in it, and that a shared page
// holds not only the right tokens but what was computed behind the right ones:
// keys and values depend on the whole prefix.
#ifndef FACET_SCHEDULER_SIMULATE_PLAN_AUDIT_H_
#define FACET_SCHEDULER_SIMULATE_PLAN_AUDIT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/batching/scheduler.h"

namespace facet {

class PlanAudit {
 public:
  // The token that a request draws behind `tokens`, its prompt included.
  using NextToken = std::function<int32_t(const SequenceRequest& request,
                                          absl::Span<const int32_t> tokens)>;

  PlanAudit(const SchedulerLimits& limits, NextToken next_token);

  // A sequence that may appear in plans. Sequences of one `family` may share
  // pages even without the prefix cache.
  void Add(SequenceId id, const SequenceRequest& request, int family);

  // Of a masked sequence: how many of its tokens the mask follows.
  void SetMask(SequenceId id, std::shared_ptr<const TokenMask> mask,
               int64_t length);

  // It has ended and may appear in StepPlan::finished alone.
  void End(SequenceId id);

  // Errors: INTERNAL saying what is wrong with `plan`.
  absl::Status Plan(const StepPlan& plan);

  // The result of this step has been applied.
  void Applied(uint64_t step) { completed_ = step; }

  // Workers have lost everything.
  void Restart();

  // Sequences that workers know.
  int tables() const { return static_cast<int>(tables_.size()); }
  bool has_table(SequenceId id) const { return tables_.contains(id); }
  // Positions that workers compute or have computed; 0 without a table.
  int64_t computed(SequenceId id) const;
  // Pages of their tables, those of several counted once.
  int64_t sliding_pages() const { return sliding_.used; }
  int64_t global_pages() const { return global_.used; }

  // Token `position` of a sequence's prompt and answer.
  int32_t Token(SequenceId id, int64_t position);

 private:
  struct Known {
    SequenceRequest request;
    int family = 0;
    bool ended = false;
    std::vector<int32_t> text;  // prompt and answer, as far as needed
    std::shared_ptr<const TokenMask> mask;
    int64_t mask_length = -1;
  };
  struct Page {
    int tables = 0;      // that list it
    SequenceId writer;   // whose text it holds
    int64_t index = -1;  // from position index * page_tokens on
    int64_t filled = 0;  // tokens
  };
  struct Pool {
    std::string name;
    std::vector<Page> pages;
    int64_t used = 0;  // pages of any table
  };
  struct List {
    int64_t first = 0;  // page index of pages.front(), given back or not
    std::vector<PageId> pages;
    int64_t end() const { return first + static_cast<int64_t>(pages.size()); }
    PageId at(int64_t index) const { return pages[index - first]; }
  };
  struct Table {
    int64_t computed = 0;
    int64_t drawn = -1;  // position of the last token drawn since it began
    int64_t sliding_first = 0;
    List sliding;
    List global;
  };

  absl::Status CheckStep(const StepPlan& plan) const;
  absl::Status Begin(const SequenceSlice& slice);
  absl::Status Grant(const SequenceSlice& slice);
  absl::Status GrantFrom(Pool* pool, const SequenceSlice& slice,
                         const std::vector<PageId>& pages, List* list);
  absl::Status CheckShared(const Pool& pool, const SequenceSlice& slice,
                           const Page& page, int64_t index);
  absl::Status CheckTokens(const SequenceSlice& slice, const Table& table);
  absl::Status CheckSampling(const SequenceSlice& slice, const Table& table);
  absl::Status Write(Pool* pool, const SequenceSlice& slice, const List& list);
  void Leave(Pool* pool, PageId page);
  void Drop(const Table& table);

  const SchedulerLimits limits_;
  const NextToken next_token_;
  uint64_t last_step_ = 0;
  uint64_t completed_ = 0;
  absl::flat_hash_map<SequenceId, Known> known_;
  absl::flat_hash_map<SequenceId, Table> tables_;
  Pool sliding_{"sliding", {}, 0};
  Pool global_{"global", {}, 0};
};

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_PLAN_AUDIT_H_
