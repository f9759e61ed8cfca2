#include "tests/support/thread_cluster.h"

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"

namespace facet {
namespace {

// Runs body(rank) on a thread per rank.
template <typename Body>
absl::Status OnEveryRank(int ranks, Body body) {
  std::vector<absl::Status> statuses(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] { statuses[rank] = body(rank); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) FACET_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

class ThreadCluster : public SynchronousExecutor {
 public:
  explicit ThreadCluster(const RankOptions& options)
      : options_(options),
        runners_(options.parallelism.pp_size * options.parallelism.tp_size) {}

  absl::Status Form() {
    const int ranks = static_cast<int>(runners_.size());
    HostCommOptions comm;
    comm.world_key = RandomName();
    std::vector<std::unique_ptr<CommListener>> listeners;
    for (int rank = 0; rank < ranks; ++rank) {
      FACET_ASSIGN_OR_RETURN(auto listener, CommListener::Create("127.0.0.1"));
      comm.endpoints.push_back({LocalHostId(), listener->address()});
      listeners.push_back(std::move(listener));
    }
    return OnEveryRank(ranks, [&](int rank) -> absl::Status {
      HostCommOptions mine = comm;
      mine.rank = rank;
      FACET_ASSIGN_OR_RETURN(auto world,
                             MakeHostCommunicator(mine, listeners[rank].get()));
      RankOptions options = options_;
      options.rank = rank;
      FACET_ASSIGN_OR_RETURN(
          runners_[rank],
          RankRunner::Load(options, std::move(world), LoadProgress()));
      return absl::OkStatus();
    });
  }

  KvPoolSizes pools() const override { return options_.pools; }

 protected:
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    std::vector<StepResult> results(runners_.size());
    FACET_RETURN_IF_ERROR(OnEveryRank(
        static_cast<int>(runners_.size()), [&](int rank) -> absl::Status {
          FACET_ASSIGN_OR_RETURN(results[rank], runners_[rank]->Run(plan));
          return absl::OkStatus();
        }));
    StepResult merged;
    merged.step = plan.step;
    for (StepResult& result : results) {
      merged.compute = std::max(merged.compute, result.compute);
      std::move(result.tokens.begin(), result.tokens.end(),
                std::back_inserter(merged.tokens));
      std::move(result.logits.begin(), result.logits.end(),
                std::back_inserter(merged.logits));
    }
    return merged;
  }

 private:
  const RankOptions options_;
  std::vector<std::unique_ptr<RankRunner>> runners_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeThreadCluster(
    const RankOptions& options) {
  auto cluster = std::make_unique<ThreadCluster>(options);
  FACET_RETURN_IF_ERROR(cluster->Form());
  return cluster;
}

}  // namespace facet
