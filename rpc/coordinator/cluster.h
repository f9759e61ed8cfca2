// The workers of one model: started or waited for, told their places, watched,
// and shut down in order. Gives the engine an Executor.
#ifndef FACET_RPC_COORDINATOR_CLUSTER_H_
#define FACET_RPC_COORDINATOR_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/control/condition_slot.h"
#include "rpc/control/diagnosis.h"
#include "rpc/control/trust.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "runtime/plan/numerics.h"
#include "runtime/plan/shard_plan.h"

namespace facet {

class Profile;  // kernels/backend/profile.h

struct ClusterOptions {
  std::string model_directory;
  ParallelismOptions parallelism;  // pp_size * tp_size workers
  // True: wait for that many `facet worker` processes to join. False: start
  // them here as child processes, or run inside this process when one is
  // enough.
  bool remote_workers = false;
  std::string control_address = "127.0.0.1:0";  // HOST:PORT, 0: any free port
  TrustFiles trust;            // remote workers must show a certificate of it
  int threads_per_worker = 0;  // 0: the machine's CPUs divided by the workers
  // What workers of this machine compute on, see ParseDevice(). Remote ones
  // have flags of their own.
  std::string device = "cpu";
  NumericsOptions numerics;
  int64_t kv_bytes_per_worker = int64_t{1} << 30;
  int page_tokens = 32;
  int max_sequences = 64;  // running at once
  int chunk_tokens = 512;  // most tokens of one step
  bool check_weights = false;
  // What remote workers must present in FACET_JOIN_TOKEN; empty: nothing.
  std::string join_token;
  absl::Duration join_timeout = absl::Minutes(5);
  // A step without a result after this long is a lost cluster, as is a worker
  // that loads without any progress. Dead and stopped workers are noticed long
  // before.
  absl::Duration step_timeout = absl::Minutes(10);
  // How often workers and coordinator say that they are there, and the silence
  // after which one counts as lost.
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  // A rank that others wait for and that makes no progress in a step for so
  // long is replaced, though its process says that it is there.
  absl::Duration stall_timeout = absl::Minutes(2);
  // What befalls the workers, a line each, for a log. From any thread.
  std::function<void(const std::string& line)> report;
  // Workers were lost, and it took so long to be seen. From any thread.
  std::function<void(absl::Duration detection)> on_loss;
  // Is told of the workers while Start() waits for them; null: nobody asks.
  ConditionSlot* forming = nullptr;
  // Of remote workers: after so long with too few, those that are here go on
  // without the others, as far as the model and the same number of K/V pages
  // fit their memory; when others come, they take part. Infinite: never.
  absl::Duration shrink_after = absl::InfiniteDuration();
  // Bytes of weights brought in over all workers; may come from any thread.
  std::function<void(int64_t done, int64_t total)> load_progress;
  // Of a worker inside this process, see RankOptions.
  Profile* profile = nullptr;
};

class Cluster {
 public:
  // Returns once every worker is ready.
  //
  // Errors: those of the model directory and the plan; RESOURCE_EXHAUSTED when
  // kv_bytes_per_worker holds no sequence; UNAVAILABLE when control_address
  // cannot be listened on; FAILED_PRECONDITION for a worker of another build or
  // numerics mode; DEADLINE_EXCEEDED when workers do not join in time;
  // UNAVAILABLE when one dies on the way.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(
      const ClusterOptions& options);
  virtual ~Cluster() = default;

  virtual Executor& executor() = 0;
  virtual const ModelConfig& model() const = 0;
  virtual const ShardPlan& plan() const = 0;
  // "HOST:PORT" workers join at; empty when the only worker is in this process.
  virtual std::string control_address() const = 0;
  // UNAVAILABLE while a lost worker is being replaced, saying which; steps fail
  // meanwhile, and later ones run once the executor was resumed.
  virtual absl::Status health() const = 0;
  // How every worker stands. From any thread, also while steps hang.
  virtual ClusterCondition condition() const = 0;

  // Lets workers finish their step, tells them to leave and waits for child
  // processes. Takes 16 seconds at most; children that do not leave are killed.
  virtual absl::Status Shutdown() = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_CLUSTER_H_
