#include "tests/support/thread_cluster.h"

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"
#include "runtime/executor/rank_thread.h"

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

class ThreadCluster : public Executor {
 public:
  explicit ThreadCluster(const RankOptions& options) : options_(options) {}

  ~ThreadCluster() override {
    // A step that waits for a rank whose queue is dropped would wait forever.
    Abort(absl::CancelledError("the cluster is gone"));
  }

  absl::Status Form() {
    const int ranks =
        options_.parallelism.pp_size * options_.parallelism.tp_size;
    HostCommOptions comm;
    comm.world_key = RandomName();
    std::vector<std::unique_ptr<CommListener>> listeners;
    for (int rank = 0; rank < ranks; ++rank) {
      FACET_ASSIGN_OR_RETURN(auto listener, CommListener::Create("127.0.0.1"));
      comm.endpoints.push_back({LocalHostId(), listener->address()});
      listeners.push_back(std::move(listener));
    }
    std::vector<std::unique_ptr<RankRunner>> runners(ranks);
    FACET_RETURN_IF_ERROR(OnEveryRank(ranks, [&](int rank) -> absl::Status {
      HostCommOptions mine = comm;
      mine.rank = rank;
      FACET_ASSIGN_OR_RETURN(auto world,
                             MakeHostCommunicator(mine, listeners[rank].get()));
      RankOptions options = options_;
      options.rank = rank;
      FACET_ASSIGN_OR_RETURN(
          runners[rank],
          RankRunner::Load(options, std::move(world), LoadProgress()));
      return absl::OkStatus();
    }));
    for (auto& runner : runners) {
      ranks_.push_back(std::make_unique<RankThread>(
          std::move(runner),
          [this](const absl::Status& status) { Abort(status); }));
    }
    return absl::OkStatus();
  }

  KvPoolSizes pools() const override { return options_.pools; }
  int stages() const override { return options_.parallelism.pp_size; }

  absl::Status Start(const StepPlan& plan) override {
    FACET_CHECK(unfinished_ <= stages());
    ++unfinished_;
    const auto shared = std::make_shared<StepPlan>(plan);
    for (auto& rank : ranks_) rank->Start(shared);
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Finish() override {
    StepResult merged;
    absl::Status failure;
    for (auto& rank : ranks_) {
      absl::StatusOr<StepResult> result = rank->Finish();
      if (!result.ok()) {
        if (failure.ok()) failure = result.status();
        continue;
      }
      merged.step = result->step;
      merged.compute = std::max(merged.compute, result->compute);
      merged.rank_compute.push_back(result->compute);
      const auto append = [](auto& from, auto& to) {
        std::move(from.begin(), from.end(), std::back_inserter(to));
      };
      append(result->tokens, merged.tokens);
      append(result->prompt_logprobs, merged.prompt_logprobs);
      append(result->logits, merged.logits);
    }
    unfinished_ = failure.ok() ? unfinished_ - 1 : 0;
    if (!failure.ok()) return failure;
    return merged;
  }

 private:
  void Abort(const absl::Status& status) {
    for (auto& rank : ranks_) rank->Abort(status);
  }

  const RankOptions options_;
  std::vector<std::unique_ptr<RankThread>> ranks_;
  int unfinished_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeThreadCluster(
    const RankOptions& options) {
  auto cluster = std::make_unique<ThreadCluster>(options);
  FACET_RETURN_IF_ERROR(cluster->Form());
  return cluster;
}

}  // namespace facet
