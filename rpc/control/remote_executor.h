// The Executor of a world of workers: sends each plan to all of them and joins
// their answers. Plans are sent as they come, so that workers have the next one
// when they are done with one. When the world is lost, Resume() goes over to
// the next.
#ifndef FACET_RPC_CONTROL_REMOTE_EXECUTOR_H_
#define FACET_RPC_CONTROL_REMOTE_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/control/world_source.h"
#include "runtime/executor/executor.h"

namespace facet {

struct RemoteExecutorOptions {
  KvPoolSizes pools;
  int64_t vocab_size = 0;
  int stages = 1;  // of the pipeline
  // Refuses plans before any worker sees them: ValidateStepPlan() with the
  // model and the pools.
  std::function<absl::Status(const StepPlan& plan)> validate;
  // A step without a result so long after it became the oldest unfinished one
  // is a lost world. Far above any real step: dead and stopped workers are
  // noticed by their streams.
  absl::Duration step_timeout = absl::Minutes(10);
};

// `source` outlives it.
std::unique_ptr<Executor> MakeRemoteExecutor(const WorldSource* source,
                                             RemoteExecutorOptions options);

}  // namespace facet

#endif  // FACET_RPC_CONTROL_REMOTE_EXECUTOR_H_
