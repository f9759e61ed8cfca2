#include "rpc/control/remote_executor.h"

#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_convert.h"

namespace facet {
namespace {

class RemoteExecutor : public Executor {
 public:
  RemoteExecutor(Membership* workers, RemoteExecutorOptions options)
      : workers_(workers), options_(std::move(options)) {}

  absl::Status Start(const StepPlan& plan) override {
    FACET_CHECK(unfinished_ <= options_.stages);
    const absl::Status legal = Check(plan);
    if (!legal.ok()) {
      // Those before run all the same; nobody wants their results any more.
      while (unfinished_ > 0) Finish().status().IgnoreError();
      return legal;
    }
    const absl::Status sent = workers_->StartStep(plan, options_.vocab_size);
    unfinished_ = sent.ok() ? unfinished_ + 1 : 0;
    return sent;
  }

  absl::StatusOr<StepResult> Finish() override {
    absl::StatusOr<StepResult> result =
        workers_->FinishStep(options_.step_timeout);
    unfinished_ = result.ok() ? unfinished_ - 1 : 0;
    return result;
  }

  KvPoolSizes pools() const override { return options_.pools; }
  int stages() const override { return options_.stages; }

 private:
  absl::Status Check(const StepPlan& plan) const {
    FACET_RETURN_IF_ERROR(options_.validate(plan));
    return CheckFitsMessage(plan);
  }

  Membership* const workers_;
  const RemoteExecutorOptions options_;
  int unfinished_ = 0;
};

}  // namespace

std::unique_ptr<Executor> MakeRemoteExecutor(Membership* workers,
                                             RemoteExecutorOptions options) {
  return std::make_unique<RemoteExecutor>(workers, std::move(options));
}

}  // namespace facet
