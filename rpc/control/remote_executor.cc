#include "rpc/control/remote_executor.h"

#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

class RemoteExecutor : public Executor {
 public:
  RemoteExecutor(Membership* workers, RemoteExecutorOptions options)
      : workers_(workers), options_(std::move(options)) {}

  absl::StatusOr<StepResult> Execute(const StepPlan& plan) override {
    FACET_RETURN_IF_ERROR(options_.validate(plan));
    return workers_->RunStep(plan, options_.vocab_size, options_.step_timeout);
  }

  KvPoolSizes pools() const override { return options_.pools; }

 private:
  Membership* const workers_;
  const RemoteExecutorOptions options_;
};

}  // namespace

std::unique_ptr<Executor> MakeRemoteExecutor(Membership* workers,
                                             RemoteExecutorOptions options) {
  return std::make_unique<RemoteExecutor>(workers, std::move(options));
}

}  // namespace facet
