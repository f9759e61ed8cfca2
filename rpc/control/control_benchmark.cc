// What the control plane adds to a step: the time from Execute() to its result,
// less the compute time of the slowest worker; and how long the rank that draws
// tokens does nothing between two steps, when each step is handed over after
// the result of the one before and when it is handed over while that one runs.
// Workers are processes of their own whose ranks are busy for a given time and
// do nothing else.
//
//   control_benchmark [--workers=2] [--compute-us=1000] [--steps=5000]
//                     [--masked=0]
//
// 2 workers of 1 ms on a 2-core machine with other work on it: median 193 to
// 201 us over TCP, 190 to 211 us over a unix socket, so there is one kind of
// address. Before worker processes were confined to their CPUs it was 218 to
// 268 us, and every tenth step waited a whole millisecond for the other
// worker's CPU.
//
// Idle between steps, on that machine under a load of 7 to 17: 12 to 18 us for
// one worker with the next step queued, where a thread that runs steps and
// sends their results itself took 147 us; 176 to 300 us one step at a time. Two
// workers with a CPU each: 50 to 180 us queued, 213 to 277 us one at a time.
// The sender needs that CPU too, and ranks that do not wait for each other, as
// these, drift apart until the one ahead has run out of steps.
//
// Bare streams, measured before this was written: blocking and callback servers
// alike (175 and 172 us); a worker that ran steps on the thread that reads
// saved up to 50 us, but would not hear of a lost coordinator before its step
// ends.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/remote_executor.h"
#include "rpc/coordinator/worker_group.h"
#include "rpc/worker/testing/fake_parts.h"
#include "rpc/worker/worker.h"

namespace facet {
namespace {

struct Settings {
  int workers = 2;
  int compute_us = 1000;
  int steps = 5000;
  int masked = 0;  // sequences with a mask of 32 KiB, beside the one
};

void Print(const char* name, const char* what, std::vector<double> us) {
  std::sort(us.begin(), us.end());
  const auto percentile = [&](int percent) {
    return us[(us.size() - 1) * percent / 100];
  };
  std::printf("%-5s %-30s p10 %6.0f  p50 %6.0f  p90 %6.0f  p99 %6.0f us\n",
              name, what, percentile(10), percentile(50), percentile(90),
              percentile(99));
}

// `ahead`: each step is handed over while the one before is unfinished.
absl::Status RunSteps(Executor& executor, const char* name,
                      const Settings& settings, bool ahead) {
  static uint64_t last_step = 0;
  StepPlan plan;
  plan.slices.resize(1);
  plan.slices[0].sequence = {1};
  plan.slices[0].tokens = {5};
  plan.slices[0].sample = true;
  plan.slices[0].sampling.logprob = true;
  for (int i = 0; i < settings.masked; ++i) {
    plan.slices.push_back(plan.slices[0]);
    plan.slices.back().sequence = {static_cast<uint64_t>(i + 2)};
    plan.slices.back().mask = std::make_shared<TokenMask>(4096, ~uint64_t{0});
  }
  std::vector<double> overhead_us;
  std::vector<double> idle_us;
  if (ahead) {
    plan.step = ++last_step;
    FACET_RETURN_IF_ERROR(executor.Start(plan));
  }
  for (int step = 0; step < settings.steps; ++step) {
    const absl::Time start = absl::Now();
    plan.step = ++last_step;
    FACET_RETURN_IF_ERROR(executor.Start(plan));
    FACET_ASSIGN_OR_RETURN(const StepResult result, executor.Finish());
    overhead_us.push_back(
        absl::ToDoubleMicroseconds(absl::Now() - start - result.compute));
    idle_us.push_back(result.tokens[0].logprob);
  }
  if (ahead) FACET_RETURN_IF_ERROR(executor.Finish().status());
  if (!ahead) Print(name, "Execute() less compute", std::move(overhead_us));
  Print(name, ahead ? "idle, next step queued" : "idle, one step at a time",
        std::move(idle_us));
  return absl::OkStatus();
}

absl::Status Measure(const char* name, const std::string& address,
                     const Settings& settings) {
  WorkerGroupOptions options;
  options.world_size = settings.workers;
  options.control_address = address;
  options.worker_argv = {"control_benchmark", "worker"};
  options.common.parallelism.tp_size = settings.workers;
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<WorkerGroup> group,
                         WorkerGroup::Start(options));
  RemoteExecutorOptions remote;
  remote.vocab_size = 1000;
  remote.validate = [](const StepPlan&) { return absl::OkStatus(); };
  const std::unique_ptr<Executor> executor =
      MakeRemoteExecutor(group.get(), std::move(remote));

  FACET_RETURN_IF_ERROR(RunSteps(*executor, name, settings, /*ahead=*/false));
  FACET_RETURN_IF_ERROR(RunSteps(*executor, name, settings, /*ahead=*/true));
  return group->Shutdown();
}

absl::Status MeasureAll(const Settings& settings) {
  // The environment is how the workers below learn what to pretend.
  setenv("FACET_FAKE_WORKER",
         absl::StrCat("compute=", settings.compute_us).c_str(), 1);
  std::printf("%d workers, %d us of compute, %d steps\n", settings.workers,
              settings.compute_us, settings.steps);
  FACET_RETURN_IF_ERROR(Measure("tcp", "127.0.0.1:0", settings));
  char directory[] = "/tmp/facet-control-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    return absl::InternalError("cannot make a directory for the socket");
  }
  const std::string path = absl::StrCat(directory, "/socket");
  const absl::Status status =
      Measure("unix", absl::StrCat("unix:", path), settings);
  std::remove(path.c_str());
  std::remove(directory);
  return status;
}

absl::Status BeWorker(const std::string& coordinator) {
  WorkerOptions options;
  options.coordinator = coordinator;
  const char* fake = std::getenv("FACET_FAKE_WORKER");
  return RunWorker(
      options, FakeParts(ParseFakeWorkerOptions(fake == nullptr ? "" : fake)));
}

absl::Status Main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> flag =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    if (flag.first == "--coordinator") return BeWorker(flag.second);
    const int number = std::atoi(flag.second.c_str());
    if (flag.first == "--workers") settings.workers = number;
    if (flag.first == "--compute-us") settings.compute_us = number;
    if (flag.first == "--steps") settings.steps = number;
    if (flag.first == "--masked") settings.masked = number;
  }
  return MeasureAll(settings);
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  const absl::Status status = facet::Main(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
