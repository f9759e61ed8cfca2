#include "rpc/control/remote_executor.h"

#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

class RemoteExecutor : public SynchronousExecutor {
 public:
  RemoteExecutor(Membership* workers, RemoteExecutorOptions options)
      : workers_(workers), options_(std::move(options)) {}

  KvPoolSizes pools() const override { return options_.pools; }

 protected:
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    FACET_RETURN_IF_ERROR(options_.validate(plan));
    return workers_->RunStep(plan, options_.vocab_size, options_.step_timeout);
  }

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
