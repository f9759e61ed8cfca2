#include "rpc/control/remote_executor.h"

#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_convert.h"

namespace facet {
namespace {

class RemoteExecutor : public Executor {
 public:
  RemoteExecutor(const WorldSource* source, RemoteExecutorOptions options)
      : source_(source),
        options_(std::move(options)),
        lost_(absl::UnavailableError("no world has been formed yet")) {
    Resume().IgnoreError();
  }

  absl::Status Start(const StepPlan& plan) override {
    FACET_CHECK(unfinished_ <= options_.stages);
    FACET_RETURN_IF_ERROR(lost_);
    const absl::Status legal = Check(plan);
    if (!legal.ok()) {
      // Those before run all the same; nobody wants their results any more.
      while (unfinished_ > 0) Finish().status().IgnoreError();
      return legal;
    }
    const absl::Status sent =
        world_.members->StartStep(plan, options_.vocab_size);
    if (!sent.ok()) return Lose(sent);
    ++unfinished_;
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Finish() override {
    FACET_RETURN_IF_ERROR(lost_);
    absl::StatusOr<StepResult> result =
        world_.members->FinishStep(options_.step_timeout);
    if (!result.ok()) return Lose(result.status());
    --unfinished_;
    return result;
  }

  absl::Status Resume() override {
    if (lost_.ok()) return absl::OkStatus();
    FACET_ASSIGN_OR_RETURN(World world, source_->world());
    if (world.epoch == world_.epoch) return lost_;
    world_ = std::move(world);
    lost_ = absl::OkStatus();
    return lost_;
  }

  KvPoolSizes pools() const override { return options_.pools; }
  int stages() const override { return options_.stages; }

 private:
  absl::Status Check(const StepPlan& plan) const {
    FACET_RETURN_IF_ERROR(options_.validate(plan));
    return CheckFitsMessage(plan);
  }

  // Whatever went wrong, it is this world's end and not the plan's fault.
  absl::Status Lose(const absl::Status& status) {
    unfinished_ = 0;
    lost_ = absl::UnavailableError(status.message());
    return lost_;
  }

  const WorldSource* const source_;
  const RemoteExecutorOptions options_;
  World world_;
  absl::Status lost_;
  int unfinished_ = 0;
};

}  // namespace

std::unique_ptr<Executor> MakeRemoteExecutor(const WorldSource* source,
                                             RemoteExecutorOptions options) {
  return std::make_unique<RemoteExecutor>(source, std::move(options));
}

}  // namespace facet
