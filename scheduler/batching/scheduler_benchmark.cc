// What the scheduler itself takes of a decode step: PlanStep() and Apply().
//
//   bazel run //scheduler/batching:scheduler_benchmark -- [--iterations=N]
//
// All sequences decode, one step ahead of the last result; 64 requests wait
// behind them for their places. The mean and the slowest of ten equal parts of
// the run are shown, in microseconds per step.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/check.h"
#include "scheduler/batching/scheduler.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 262144;
constexpr int kWaiting = 64;
constexpr int kMostSequences = 256;

// Processor time: others may use the machine too.
double Microseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 +
         static_cast<double>(now.tv_nsec) / 1e3;
}

StepResult ResultOf(const StepPlan& plan) {
  StepResult result;
  result.step = plan.step;
  for (const SequenceSlice& slice : plan.slices) {
    if (!slice.sample) continue;
    SampledToken& token = result.tokens.emplace_back();
    token.sequence = slice.sequence;
    token.token = static_cast<int32_t>(
        (plan.step * 31 + slice.sequence.value * 997) % kVocab);
  }
  return result;
}

class Benchmark {
 public:
  Benchmark(int sequences, int64_t length, int iterations)
      : scheduler_(Limits(sequences, length, iterations)) {
    SequenceRequest request;
    for (int64_t i = 0; i < length; ++i) {
      request.prompt.push_back(static_cast<int32_t>(i * 7919 % kVocab));
    }
    request.max_tokens = iterations + 100;
    FACET_CHECK(scheduler_.Check(request).ok());
    uint64_t id = 0;
    for (int i = 0; i < sequences; ++i) {
      scheduler_.Add(SequenceId{++id}, request);
      request.sibling = SequenceId{1};
    }
    // Until all decode.
    for (size_t decoding = 0; decoding < size_t(sequences);) {
      const StepPlan plan = *scheduler_.PlanStep();
      decoding = std::count_if(
          plan.slices.begin(), plan.slices.end(), [](const auto& slice) {
            return slice.sample && slice.tokens.size() == 1;
          });
      FACET_CHECK(scheduler_.Apply(ResultOf(plan)).ok());
    }
    request.sibling.reset();
    for (int i = 0; i < kWaiting; ++i) {
      request.prompt[0] = i;
      scheduler_.Add(SequenceId{++id}, request);
    }
    Plan();
  }

  double StepMicroseconds() {
    const double planning = Plan();
    StepResult result = ResultOf(planned_.front());
    planned_.pop_front();
    const double start = Microseconds();
    FACET_CHECK(scheduler_.Apply(std::move(result)).ok());
    return planning + Microseconds() - start;
  }

 private:
  static SchedulerLimits Limits(int sequences, int64_t length, int iterations) {
    SchedulerLimits limits;
    limits.pools.page_tokens = 32;
    const int64_t each = (iterations + 200) / 32 + 4;
    limits.pools.global_pages =
        static_cast<int32_t>(length / 32 + sequences * each);
    limits.pools.sliding_pages = static_cast<int32_t>(sequences * (each + 100));
    limits.vocab_size = kVocab;
    limits.sliding_window = 1024;
    limits.max_positions = 1 << 20;
    limits.max_step_tokens = 2048;
    limits.max_sequences = sequences;
    limits.max_unapplied = 2;
    return limits;
  }

  double Plan() {
    const double start = Microseconds();
    std::optional<StepPlan> plan = scheduler_.PlanStep();
    const double microseconds = Microseconds() - start;
    FACET_CHECK(plan.has_value());
    planned_.push_back(*std::move(plan));
    return microseconds;
  }

  Scheduler scheduler_;
  std::deque<StepPlan> planned_;
};

void Run(int iterations) {
  std::printf("%9s %9s %9s %9s\n", "sequences", "length", "us/step", "slowest");
  for (const int sequences : {1, 64, kMostSequences}) {
    for (const int64_t length : {100, 10000, 200000}) {
      Benchmark benchmark(sequences, length, iterations);
      double total = 0;
      double slowest = 0;
      for (int part = 0; part < 10; ++part) {
        const int steps = std::max(1, iterations / 10);
        double sum = 0;
        for (int i = 0; i < steps; ++i) sum += benchmark.StepMicroseconds();
        total += sum / steps / 10;
        slowest = std::max(slowest, sum / steps);
      }
      std::printf("%9d %9d %9.1f %9.1f\n", sequences, static_cast<int>(length),
                  total, slowest);
    }
  }
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  int iterations = 2000;
  for (int i = 1; i < argc; ++i) {
    if (std::sscanf(argv[i], "--iterations=%d", &iterations) == 1) continue;
    std::fprintf(stderr, "usage: %s [--iterations=N]\n", argv[0]);
    return 2;
  }
  facet::Run(iterations);
  return 0;
}
