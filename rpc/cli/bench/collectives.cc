#include "rpc/cli/bench/collectives.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/figure.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRanks = 2;

// Times of `exchange`, the first tenth left out.
absl::StatusOr<AllReduceTimes> TimeEach(
    int iterations, const std::function<absl::Status()>& exchange) {
  std::vector<double> microseconds;
  const int warm_up = iterations / 10;
  for (int i = 0; i < warm_up + iterations; ++i) {
    const Clock::time_point start = Clock::now();
    FACET_RETURN_IF_ERROR(exchange());
    if (i < warm_up) continue;
    microseconds.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - start)
            .count());
  }
  return AllReduceTimes{Percentile(microseconds, 50),
                        Percentile(microseconds, 99)};
}

absl::StatusOr<AllReduceTimes> RunRank(const HostCommOptions& options,
                                       CommListener* listener, int64_t floats,
                                       int iterations) {
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> comm,
                         MakeHostCommunicator(options, listener));
  std::vector<float> row(floats);
  return TimeEach(iterations,
                  [&] { return comm->AllReduceSum(absl::MakeSpan(row)); });
}

// What one thread shows the other.
struct alignas(128) Side {
  std::atomic<int64_t> round{0};
  // Two, so that a fast thread does not overwrite what a slow one still reads.
  std::vector<float> rows[2];
};

}  // namespace

absl::StatusOr<AllReduceTimes> TimeAllReduce(int64_t floats, int iterations) {
  HostCommOptions options;
  options.world_key = RandomName();
  std::vector<std::unique_ptr<CommListener>> listeners;
  for (int rank = 0; rank < kRanks; ++rank) {
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<CommListener> listener,
                           CommListener::Create("127.0.0.1"));
    options.endpoints.push_back({LocalHostId(), listener->address()});
    listeners.push_back(std::move(listener));
  }
  absl::StatusOr<AllReduceTimes> other;
  std::thread peer([&, options]() mutable {
    options.rank = 1;
    other = RunRank(options, listeners[1].get(), floats, iterations);
  });
  const absl::StatusOr<AllReduceTimes> times =
      RunRank(options, listeners[0].get(), floats, iterations);
  peer.join();
  FACET_RETURN_IF_ERROR(other.status());
  return times;
}

AllReduceTimes TimeBareExchange(int64_t floats, int iterations) {
  Side sides[2];
  for (Side& side : sides) {
    for (std::vector<float>& row : side.rows) row.resize(floats);
  }
  const auto run = [&](int me) {
    Side& mine = sides[me];
    const Side& theirs = sides[1 - me];
    std::vector<float> sum(floats);
    return TimeEach(iterations, [&] {
      const int64_t round = mine.round.load(std::memory_order_relaxed) + 1;
      std::vector<float>& row = mine.rows[round % 2];
      std::copy(sum.begin(), sum.end(), row.begin());
      mine.round.store(round, std::memory_order_release);
      int spins = 0;
      while (theirs.round.load(std::memory_order_acquire) < round) {
        // Without a core of its own the other can only go on if this one lets
        // it.
        if (++spins > 100000) std::this_thread::yield();
      }
      const std::vector<float>& other = theirs.rows[round % 2];
      for (int64_t i = 0; i < floats; ++i) sum[i] = row[i] + other[i];
      return absl::OkStatus();
    });
  };
  std::thread peer([&] { run(1).IgnoreError(); });
  const absl::StatusOr<AllReduceTimes> times = run(0);
  peer.join();
  return *times;
}

}  // namespace facet
