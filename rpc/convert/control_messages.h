// The control plane's messages as plain values; what their fields mean is in
// rpc/proto/control.proto. Code above this folder knows these alone.
#ifndef FACET_RPC_CONVERT_CONTROL_MESSAGES_H_
#define FACET_RPC_CONVERT_CONTROL_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/executor/rank_activity.h"
#include "runtime/plan/numerics.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// One numerics setting and the name of what this machine would run for it.
struct NumericsCapability {
  NumericsOptions numerics;
  std::string mode;
};

// A worker's first message.
struct WorkerRegistration {
  std::string join_token;
  std::string build_id;
  std::string isa;
  std::string device = "cpu";  // or "cuda"
  std::vector<NumericsCapability> modes;
  std::string hostname;
  CommEndpoint endpoint;
  std::vector<int> cpus;  // that the process may run on
  int64_t memory_bytes = 0;
  int64_t pid = 0;
  int held_rank = -1;  // whose weights it has; -1: none
  bool grow = false;  // asks for a place of its own rather than wait as a spare
};

// A worker's place and everything it needs to take it.
struct WorkerAssignment {
  std::string model_directory;
  ParallelismOptions parallelism;
  int rank = 0;
  std::vector<CommEndpoint> endpoints;  // by rank
  std::string world_key;
  uint64_t epoch = 0;
  NumericsOptions numerics;
  KvPoolSizes pools;
  int max_step_tokens = 512;
  int threads = 1;
  std::vector<int> cpus;  // one per thread; empty: not pinned
  bool check_weights = false;
  absl::Duration comm_timeout = absl::Seconds(30);
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  // Plans without a result at once; 0: pp_size + 2. A world that stands in for
  // one with more stages gets as many as that would.
  int most_steps = 0;
};

struct WorkerProgress {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
};

struct WorkerReady {};

struct WorkerFailed {
  absl::Status status;  // never OK
};

struct Heartbeat {
  std::optional<RankActivity> activity;  // of a worker that has a rank
};

// A run of the values of `block`, whose own `values` is empty.
struct LogitsPiece {
  uint64_t step = 0;
  LogitsBlock block;
  int64_t offset = 0;
  std::vector<float> values;
};

// A run of a step's StepResult::prompt_logprobs.
struct PromptLogprobsPiece {
  uint64_t step = 0;
  std::vector<PromptLogprob> logprobs;
};

// A StepResult here has neither logits nor prompt_logprobs: they went ahead as
// pieces. Its compute time is one rank's.
using WorkerMessage =
    std::variant<Heartbeat, WorkerRegistration, WorkerProgress, WorkerReady,
                 LogitsPiece, StepResult, WorkerFailed, PromptLogprobsPiece>;

struct WorkerShutdown {
  std::string reason;
};

struct WorkerRefused {
  absl::Status status;  // never OK
};

using CoordinatorMessage = std::variant<Heartbeat, WorkerAssignment, StepPlan,
                                        WorkerShutdown, WorkerRefused>;

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_MESSAGES_H_
