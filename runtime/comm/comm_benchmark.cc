// Latency of AllReduceSum between forked processes, over shared memory and TCP:
//
//   bazel run //runtime/comm:comm_benchmark -- [--iterations=N] [--ranks=N]
//       [--compute_us=N]
//
// With --compute_us, every rank computes for that long before each call, as a
// layer of decode would; the mean then shows what waiting costs on a machine
// that others use too.
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"

namespace facet {
namespace {

constexpr size_t kSizes[] = {8 << 10,  16 << 10, 24 << 10,
                             64 << 10, 1 << 20,  4 << 20};

struct Options {
  int iterations = 10000;
  int ranks = 2;
  int compute_us = 0;
};

// Processor time, not wall time: a rank that loses its processor computes on
// when it has it back.
void Compute(int microseconds) {
  const auto now_ns = [] {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  };
  const int64_t end = now_ns() + int64_t{1000} * microseconds;
  while (now_ns() < end) {
  }
}

double MicrosecondsOf(Communicator& comm, std::vector<float>& values) {
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = comm.AllReduceSum(absl::MakeSpan(values));
  const auto end = std::chrono::steady_clock::now();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return std::chrono::duration<double, std::micro>(end - start).count();
}

void Measure(Communicator& comm, const char* transport,
             const Options& options) {
  for (size_t bytes : kSizes) {
    std::vector<float> values(bytes / sizeof(float));
    const int count =
        std::max<int>(1, options.iterations / std::max<size_t>(1, bytes >> 16));
    std::vector<double> times;
    for (int i = 0; i < count + count / 10; ++i) {
      Compute(options.compute_us);
      const double time = MicrosecondsOf(comm, values);
      if (i >= count / 10) times.push_back(time);
    }
    if (comm.rank() != 0) continue;
    std::sort(times.begin(), times.end());
    std::printf(
        "%-4s %d ranks %8zu bytes  p50 %9.1f us  p99 %9.1f us  mean %9.1f us\n",
        transport, comm.size(), bytes, times[times.size() / 2],
        times[times.size() * 99 / 100],
        std::accumulate(times.begin(), times.end(), 0.0) / times.size());
    std::fflush(stdout);
  }
}

// Every rank is a process of its own; this one is rank 0.
int RunWorld(bool force_tcp, const Options& benchmark) {
  const int ranks = benchmark.ranks;
  HostCommOptions options;
  options.world_key = RandomName();
  options.force_tcp = force_tcp;
  std::vector<std::unique_ptr<CommListener>> listeners;
  for (int rank = 0; rank < ranks; ++rank) {
    auto listener = CommListener::Create("127.0.0.1");
    FACET_CHECK(listener.ok());
    listeners.push_back(*std::move(listener));
    options.endpoints.push_back({LocalHostId(), listeners.back()->address()});
  }
  std::vector<pid_t> children;
  for (int rank = 1; rank < ranks; ++rank) {
    const pid_t pid = fork();
    FACET_CHECK(pid >= 0);
    if (pid == 0) {
      options.rank = rank;
      children.clear();
      break;
    }
    children.push_back(pid);
  }
  auto comm = MakeHostCommunicator(options, listeners[options.rank].get());
  if (!comm.ok()) {
    std::fprintf(stderr, "%s\n", comm.status().ToString().c_str());
    return 1;
  }
  Measure(**comm, force_tcp ? "tcp" : "shm", benchmark);
  comm->reset();
  if (options.rank != 0) _exit(0);
  int failures = 0;
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    failures += status != 0;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  facet::Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::sscanf(argv[i], "--iterations=%d", &options.iterations) == 1 ||
        std::sscanf(argv[i], "--ranks=%d", &options.ranks) == 1 ||
        std::sscanf(argv[i], "--compute_us=%d", &options.compute_us) == 1) {
      continue;
    }
    std::fprintf(stderr,
                 "usage: %s [--iterations=N] [--ranks=N] [--compute_us=N]\n",
                 argv[0]);
    return 2;
  }
  for (bool force_tcp : {false, true}) {
    if (facet::RunWorld(force_tcp, options) != 0) return 1;
  }
  return 0;
}
