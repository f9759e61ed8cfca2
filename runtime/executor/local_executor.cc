// The executor of a world of one rank.
#include <memory>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/executor/executor.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/executor/rank_thread.h"

namespace facet {
namespace {

class LocalExecutor : public Executor {
 public:
  LocalExecutor(std::unique_ptr<RankRunner> runner, const KvPoolSizes& pools)
      : rank_(std::move(runner)), pools_(pools) {}

  absl::Status Start(const StepPlan& plan) override {
    FACET_CHECK(unfinished_ <= stages());
    ++unfinished_;
    rank_.Start(std::make_shared<StepPlan>(plan));
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Finish() override {
    absl::StatusOr<StepResult> result = rank_.Finish();
    unfinished_ = result.ok() ? unfinished_ - 1 : 0;
    return result;
  }

  KvPoolSizes pools() const override { return pools_; }

 private:
  RankThread rank_;
  const KvPoolSizes pools_;
  int unfinished_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeLocalExecutor(
    const RankOptions& options, const LoadProgress& progress) {
  RankOptions single = options;
  single.parallelism = {};
  single.rank = 0;
  FACET_ASSIGN_OR_RETURN(
      std::unique_ptr<RankRunner> runner,
      RankRunner::Load(single, MakeInProcessCommunicator(), progress));
  return std::make_unique<LocalExecutor>(std::move(runner), options.pools);
}

}  // namespace facet
