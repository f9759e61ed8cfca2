#include "rpc/worker/testing/fake_parts.h"

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

class FakeRunner : public RankRunner {
 public:
  FakeRunner(FakeWorkerOptions options, const RankOptions& rank)
      : options_(std::move(options)), rank_(rank) {}

  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    const absl::Time start = absl::Now();
    idle_ = start - ended_;
    while (absl::Now() - start < options_.compute) {
    }
    if (options_.sleep > absl::ZeroDuration()) absl::SleepFor(options_.sleep);
    // Nothing is asked of it at step 0, but a hostile coordinator may send one.
    const bool odd = plan.step > 0 && (options_.only_rank < 0 ||
                                       options_.only_rank == rank_.rank);
    if (odd && plan.step == options_.exit_at_step) std::_Exit(3);
    if (odd && plan.step == options_.fail_at_step) {
      return absl::DataLossError("a page went bad");
    }
    if (odd && plan.step == options_.hang_at_step) return WaitForAbort();
    StepResult result = Answer(plan);
    ended_ = absl::Now();
    result.compute = ended_ - start;
    return result;
  }

  void Abort(const absl::Status& status) override {
    std::lock_guard<std::mutex> lock(mutex_);
    aborted_ = status;
    changed_.notify_all();
  }

 private:
  absl::Status WaitForAbort() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !aborted_.ok(); });
    return aborted_;
  }

  StepResult Answer(const StepPlan& plan) const {
    const int tp = rank_.parallelism.tp_size;
    const int tp_rank = rank_.rank % tp;
    StepResult result;
    result.step = plan.step;
    if (rank_.rank / tp != rank_.parallelism.pp_size - 1) return result;
    for (const SequenceSlice& slice : plan.slices) {
      const int64_t count = static_cast<int64_t>(slice.tokens.size());
      if (slice.sample && tp_rank == 0) {
        SampledToken token;
        token.sequence = slice.sequence;
        token.token = FakeToken(slice.sequence, slice.start + count - 1,
                                options_.vocab_size);
        if (slice.sampling.logprob) {
          token.logprob = static_cast<float>(absl::ToDoubleMicroseconds(idle_));
        }
        result.tokens.push_back(std::move(token));
      }
      if (slice.logits == LogitsWanted::kNone) continue;
      LogitsBlock block;
      block.sequence = slice.sequence;
      block.rows = slice.logits == LogitsWanted::kAll ? count : 1;
      block.first_position = slice.start + count - block.rows;
      block.vocab_begin = options_.vocab_size * tp_rank / tp;
      block.vocab_end = options_.vocab_size * (tp_rank + 1) / tp;
      for (int64_t row = 0; row < block.rows; ++row) {
        for (int64_t id = block.vocab_begin; id < block.vocab_end; ++id) {
          block.values.push_back(
              FakeLogit(slice.sequence, block.first_position + row, id));
        }
      }
      result.logits.push_back(std::move(block));
    }
    return result;
  }

  const FakeWorkerOptions options_;
  const RankOptions rank_;
  absl::Time ended_ = absl::Now();
  absl::Duration idle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status aborted_;
};

}  // namespace

int32_t FakeToken(SequenceId sequence, int64_t position, int64_t vocab_size) {
  return static_cast<int32_t>((sequence.value * 7919 + position * 104729) %
                              static_cast<uint64_t>(vocab_size));
}

float FakeLogit(SequenceId sequence, int64_t position, int64_t id) {
  return static_cast<float>(sequence.value % 13) +
         0.25f * static_cast<float>(position) +
         0.001f * static_cast<float>(id % 1000);
}

FakeWorkerOptions ParseFakeWorkerOptions(absl::string_view text) {
  FakeWorkerOptions options;
  for (absl::string_view field : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(field, absl::MaxSplits('=', 1));
    const auto& [name, value] = pair;
    int64_t number = 0;
    const bool is_number = absl::SimpleAtoi(value, &number);
    if (name == "mode") {
      options.mode = value;
    } else if (name == "load_error") {
      options.load_error = value;
    } else if (name == "compute") {
      options.compute = absl::Microseconds(number);
    } else if (name == "sleep") {
      options.sleep = absl::Microseconds(number);
    } else if (name == "vocab_size") {
      options.vocab_size = number;
    } else if (name == "fail_at_step") {
      options.fail_at_step = static_cast<uint64_t>(number);
    } else if (name == "hang_at_step") {
      options.hang_at_step = static_cast<uint64_t>(number);
    } else if (name == "exit_at_step") {
      options.exit_at_step = static_cast<uint64_t>(number);
    } else if (name == "least_world") {
      options.least_world = static_cast<int>(number);
    } else if (name == "only_rank") {
      options.only_rank = static_cast<int>(number);
    } else {
      FACET_CHECK(name == "a known option");
    }
    FACET_CHECK(is_number || name == "mode" || name == "load_error");
  }
  return options;
}

WorkerParts FakeParts(const FakeWorkerOptions& options) {
  WorkerParts parts;
  parts.isa = [] { return std::string("fake"); };
  parts.numerics_mode = [mode = options.mode](const NumericsOptions&) {
    return mode;
  };
  parts.listen = [](const std::string& host) {
    CommPort port;
    port.endpoint = {"this machine", absl::StrCat(host, ":1")};
    port.connect = [](const HostCommOptions&) {
      return MakeInProcessCommunicator();
    };
    return port;
  };
  parts.load = [options](const RankOptions& rank, std::unique_ptr<Communicator>,
                         const LoadProgress& progress,
                         std::unique_ptr<RankRunner>)
      -> absl::StatusOr<std::unique_ptr<RankRunner>> {
    if (!options.load_error.empty()) {
      return absl::DataLossError(options.load_error);
    }
    if (rank.parallelism.tp_size < options.least_world) {
      return absl::ResourceExhaustedError("the part is too large");
    }
    progress(50, 100);
    progress(100, 100);
    return std::make_unique<FakeRunner>(options, rank);
  };
  return parts;
}

}  // namespace facet
