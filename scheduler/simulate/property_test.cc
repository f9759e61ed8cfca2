// What holds in every run, over thousands of them; and that it would be noticed
// if it did not.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/simulate/random_options.h"
#include "scheduler/simulate/random_run.h"
#include "scheduler/simulate/simulation.h"

namespace facet {
namespace {

constexpr int kBlocks = 24;
constexpr uint64_t kRunsPerBlock = 500;

class RandomRuns : public testing::TestWithParam<int> {};

TEST_P(RandomRuns, LoseNothingLeakNothingStarveNobody) {
  RunFacts facts;
  const uint64_t first = 1 + GetParam() * kRunsPerBlock;
  for (uint64_t seed = first; seed < first + kRunsPerBlock; ++seed) {
    const absl::StatusOr<RunFacts> run = CheckRandomRun(seed);
    ASSERT_TRUE(run.ok()) << run.status() << "\nagain: " << HowToRepeat(seed);
    facts += *run;
  }
  // Blocks have about three times as much; with less they would prove little.
  const auto runs = static_cast<int64_t>(kRunsPerBlock);
  EXPECT_GT(facts.sequences, 3 * runs);
  EXPECT_GT(facts.steps, 25 * runs);
  EXPECT_GT(facts.preemptions, runs / 5);
  EXPECT_GT(facts.prefix_hits, runs);
  EXPECT_GT(facts.failures, runs / 10);
  EXPECT_GT(facts.cancelled, runs / 5);
  EXPECT_GT(facts.stopped, runs / 20);
  EXPECT_GT(facts.placeholders, 5 * runs);
  EXPECT_GT(facts.masked_tokens, runs);
  EXPECT_GT(facts.prompt_logprobs, runs);
  EXPECT_GT(facts.logits_rows, runs);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomRuns, testing::Range(0, kBlocks));

// Each showed a fault that thousands of others had missed.
TEST(RandomRunsOfOld, StayMended) {
  for (const uint64_t seed : {37862, 1004827}) {
    const absl::StatusOr<RunFacts> run = CheckRandomRun(seed);
    EXPECT_TRUE(run.ok()) << run.status() << "\nagain: " << HowToRepeat(seed);
  }
}

// A fault, and whether this plan or result gave an occasion for it.
template <typename Subject>
struct Fault {
  const char* name;
  std::function<bool(Subject*)> commit;
};

// Every run with an occasion ends with an error. Runs with failures are left
// out: new workers know nothing of old faults.
template <typename Subject>
void ExpectFound(const Fault<Subject>& fault,
                 std::function<void(Subject*)> Tampering::*where) {
  int occasions = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    if (!RandomOptions(seed).workload.failures.empty()) continue;
    bool committed = false;
    Tampering tampering;
    tampering.*where = [&](Subject* subject) {
      committed = committed || fault.commit(subject);
    };
    const absl::StatusOr<RunFacts> run = CheckRandomRun(seed, tampering);
    EXPECT_EQ(run.ok(), !committed) << fault.name << ", seed " << seed;
    if (committed) ++occasions;
  }
  EXPECT_GT(occasions, 20) << fault.name;
}

// Commits `change` to the first slice that `suits`.
Fault<StepPlan> InASlice(const char* name,
                         const std::function<bool(const SequenceSlice&)>& suits,
                         const std::function<void(SequenceSlice*)>& change) {
  return {name, [=](StepPlan* plan) {
            for (SequenceSlice& slice : plan->slices) {
              if (!suits(slice)) continue;
              change(&slice);
              return true;
            }
            return false;
          }};
}

constexpr int64_t kMostPageTokens = 8;  // of RandomOptions()

bool Any(const SequenceSlice&) { return true; }

TEST(FaultyPlans, AreFound) {
  const Fault<StepPlan> faults[] = {
      InASlice(
          "another token",
          [](const SequenceSlice& s) { return s.tokens[0] != kSampledToken; },
          [](SequenceSlice* s) { s->tokens[0] ^= 1; }),
      InASlice("a placeholder for a prompt", Any,
               [](SequenceSlice* s) {
                 s->tokens = {kSampledToken, kSampledToken};
               }),
      InASlice("a gap", Any, [](SequenceSlice* s) { ++s->start; }),
      InASlice(
          "nothing drawn", [](const SequenceSlice& s) { return s.sample; },
          [](SequenceSlice* s) { s->sample = false; }),
      InASlice(
          "no mask", [](const SequenceSlice& s) { return s.mask != nullptr; },
          [](SequenceSlice* s) { s->mask = nullptr; }),
      InASlice(
          "a page too few",
          [](const SequenceSlice& s) { return !s.new_global_pages.empty(); },
          [](SequenceSlice* s) { s->new_global_pages.pop_back(); }),
      InASlice(
          "a page too many", Any,
          [](SequenceSlice* s) { s->new_sliding_pages.push_back(PageId{0}); }),
      InASlice(
          "no such page",
          [](const SequenceSlice& s) { return !s.new_sliding_pages.empty(); },
          [](SequenceSlice* s) {
            s->new_sliding_pages.back().value = 1 << 20;
          }),
      InASlice(
          "a page in view taken back",
          [](const SequenceSlice& s) {
            return !s.begins.has_value() && s.start > 0;
          },
          [](SequenceSlice* s) { ++s->sliding_first_page; }),
      InASlice(
          "a page behind the window kept",
          [](const SequenceSlice& s) {
            return !s.begins.has_value() && s.sliding_first_page > 0;
          },
          [](SequenceSlice* s) { --s->sliding_first_page; }),
      InASlice(
          "shared pages in another order",
          [](const SequenceSlice& s) {
            return s.begins.has_value() && s.start > kMostPageTokens;
          },
          [](SequenceSlice* s) {
            std::swap(s->new_global_pages[0], s->new_global_pages[1]);
          }),
      InASlice(
          "no beginning",
          [](const SequenceSlice& s) { return s.begins.has_value(); },
          [](SequenceSlice* s) { s->begins.reset(); }),
      InASlice(
          "another beginning",
          [](const SequenceSlice& s) { return !s.begins.has_value(); },
          [](SequenceSlice* s) { s->begins.emplace(); }),
      {"one page for two",
       [](StepPlan* plan) {
         SequenceSlice* first = nullptr;
         for (SequenceSlice& slice : plan->slices) {
           if (slice.new_global_pages.empty()) continue;
           if (first != nullptr) {
             slice.new_global_pages.back() = first->new_global_pages.back();
             return true;
           }
           first = &slice;
         }
         return false;
       }},
      {"an end untold",
       [](StepPlan* plan) {
         if (plan->finished.empty()) return false;
         plan->finished.pop_back();
         return true;
       }},
      {"a result that is not there",
       [](StepPlan* plan) {
         ++plan->completed;
         return true;
       }},
      {"a step left out",
       [](StepPlan* plan) {
         ++plan->step;
         return true;
       }},
  };
  for (const Fault<StepPlan>& fault : faults) {
    ExpectFound(fault, &Tampering::plan);
  }
}

TEST(FaultyResults, AreFound) {
  const Fault<StepResult> faults[] = {
      {"a token lost",
       [](StepResult* result) {
         if (result->tokens.empty()) return false;
         result->tokens.pop_back();
         return true;
       }},
      {"a token twice",
       [](StepResult* result) {
         if (result->tokens.empty()) return false;
         result->tokens.push_back(result->tokens.back());
         return true;
       }},
      {"tokens in another order",
       [](StepResult* result) {
         if (result->tokens.size() < 2) return false;
         std::swap(result->tokens[0], result->tokens[1]);
         return true;
       }},
      {"a log-probability lost",
       [](StepResult* result) {
         if (result->prompt_logprobs.empty()) return false;
         result->prompt_logprobs.pop_back();
         return true;
       }},
      {"logits of other positions",
       [](StepResult* result) {
         if (result->logits.empty()) return false;
         ++result->logits[0].first_position;
         return true;
       }},
      {"the result of another step",
       [](StepResult* result) {
         ++result->step;
         return true;
       }},
  };
  for (const Fault<StepResult>& fault : faults) {
    ExpectFound(fault, &Tampering::result);
  }
}

// One unit of priority is worth kPriorityStride requests: in an unending stream
// of more urgent ones, a request comes before the one that arrives so many
// later.
TEST(Starvation, EndsAfterTheStatedNumberOfRequests) {
  struct Watch : SimulationObserver {
    absl::Status OnAdd(const SimSequence& sequence,
                       const SequenceRequest& request) override {
      if (request.priority > 0) patient = sequence.id;
      return absl::OkStatus();
    }
    absl::Status OnPlan(StepPlan* plan, const Scheduler&) override {
      for (const SequenceSlice& slice : plan->slices) {
        if (slice.begins.has_value()) begun.push_back(slice.sequence);
      }
      return absl::OkStatus();
    }
    SequenceId patient;
    std::vector<SequenceId> begun;
  };
  for (const int priority : {0, 1, 2}) {
    SimulationOptions options;
    options.machine.bytes_per_s = options.machine.flops_per_s = 1;
    options.machine.step_s = 1;
    options.limits.pools = {4, 100, 100};
    options.limits.vocab_size = 100;
    options.limits.sliding_window = 8;
    options.limits.max_positions = 100;
    options.limits.max_sequences = 1;
    options.limits.prefix_cache = false;
    // Four steps each, and one arrives in every second.
    SimRequest request;
    request.prompt_tokens = 8;
    request.output_tokens = 4;
    for (int i = 0; i < 400; ++i) {
      request.arrival_s = i;
      request.priority = i == 10 ? priority : 0;
      options.workload.requests.push_back(request);
    }
    Watch watch;
    const absl::StatusOr<SimulationReport> report = Simulate(options, &watch);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->completed, 400);
    if (priority == 0) watch.patient = SequenceId{11};
    const auto place =
        std::find(watch.begun.begin(), watch.begun.end(), watch.patient) -
        watch.begun.begin();
    EXPECT_EQ(place, priority == 0 ? 10 : 9 + kPriorityStride * priority);
    EXPECT_EQ(watch.begun.size(), 400u);
  }
}

}  // namespace
}  // namespace facet
