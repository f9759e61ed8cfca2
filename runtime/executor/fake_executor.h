// An executor without a model, for tests of whatever drives one. Each next
// token is a hash of all tokens before it, read back from pages it was told to
// write them to; so a page in the wrong place changes the answer, as it would
// with a model, and is reported besides.
#ifndef FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_
#define FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "runtime/executor/executor.h"

namespace facet {

struct FakeExecutorOptions {
  KvPoolSizes pools;
  int64_t vocab_size = 1000;
  int sliding_window = 64;
  int max_step_tokens = 512;
  // Blocks of logits come in this many runs of the vocabulary, as from ranks.
  int logits_blocks = 1;
  // Runs at the beginning of Start(), which fails with what it returns.
  std::function<absl::Status(const StepPlan&)> before_step;
};

class FakeExecutor : public SynchronousExecutor {
 public:
  explicit FakeExecutor(FakeExecutorOptions options);

  // The token that follows `tokens`.
  static int32_t NextToken(absl::Span<const int32_t> tokens,
                           int64_t vocab_size);

  // The logit of token `id` behind `tokens`: largest at NextToken().
  static float Logit(absl::Span<const int32_t> tokens, int64_t id,
                     int64_t vocab_size);

  KvPoolSizes pools() const override { return options_.pools; }

  // Sequences it holds pages of, and those pages.
  int sequences() const { return static_cast<int>(tables_.size()); }
  int64_t pages_held() const;

 protected:
  // Errors: INVALID_ARGUMENT for a plan that a worker would refuse or answer
  // wrongly: pages of another sequence, tables that do not reach the slice's
  // end, gaps, too many tokens, steps out of order.
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override;

 private:
  struct Table {
    int64_t computed = 0;
    int64_t sliding_first_page = 0;
    std::vector<PageId> sliding;  // by page index; those in front are gone
    std::vector<PageId> global;
  };
  struct Pool {
    std::vector<uint64_t> owner;  // 0: free
    std::vector<int32_t> tokens;  // [pages, page_tokens]
  };

  absl::Status Take(Pool* pool, const SequenceSlice& slice,
                    const std::vector<PageId>& pages);
  void GiveBack(Pool* pool, SequenceId sequence, PageId page);
  absl::Status UpdateTable(const SequenceSlice& slice);
  int32_t& TokenAt(Pool* pool, const std::vector<PageId>& table,
                   int64_t position);

  const FakeExecutorOptions options_;
  uint64_t last_step_ = 0;
  Pool sliding_;
  Pool global_;
  absl::flat_hash_map<SequenceId, Table> tables_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_
