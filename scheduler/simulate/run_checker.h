// The client of every sequence and the auditor of every plan of a simulation
// with RandomOptions().
#ifndef FACET_SCHEDULER_SIMULATE_RUN_CHECKER_H_
#define FACET_SCHEDULER_SIMULATE_RUN_CHECKER_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <tuple>

#include "absl/container/btree_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "scheduler/simulate/plan_audit.h"
#include "scheduler/simulate/random_options.h"
#include "scheduler/simulate/simulation.h"

namespace facet {

// What many runs together met, or they would prove little.
struct RunFacts {
  int64_t runs = 0;
  int64_t sequences = 0;
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t prefix_hits = 0;
  int64_t failures = 0;
  int64_t cancelled = 0;  // requests, deadlines included
  int64_t stopped = 0;    // sequences that a stop id ended
  int64_t placeholders = 0;
  int64_t masked_tokens = 0;
  int64_t prompt_logprobs = 0;
  int64_t logits_rows = 0;

  RunFacts& operator+=(const RunFacts& other);
};

// Changes plans on their way to the workers and results on their way back, so
// that a test can see that the checks find it.
struct Tampering {
  std::function<void(StepPlan*)> plan;
  std::function<void(StepResult*)> result;
};

// See CheckRandomRun() for what it checks.
class RunChecker : public SimulationObserver {
 public:
  RunChecker(const SchedulerLimits& limits, const Tampering& tampering)
      : limits_(limits),
        tampering_(tampering),
        most_positions_(Scheduler(limits).MostPositions()),
        audit_(limits, RandomRunToken) {}

  absl::Status OnAdd(const SimSequence& sequence,
                     const SequenceRequest& request) override;
  absl::Status OnCancel(const SimSequence& sequence) override;
  absl::Status OnMask(const SimSequence& sequence,
                      std::shared_ptr<const TokenMask> mask) override;
  absl::Status OnPlan(StepPlan* plan, const Scheduler& scheduler) override;
  absl::Status OnResult(StepResult* result) override;
  absl::Status OnUpdate(const SimSequence& sequence,
                        const SequenceUpdate& update) override;
  absl::Status OnRestart() override;
  absl::Status AfterEvents(double now_s, const Scheduler& scheduler) override;

  absl::Status AtTheEnd() const;
  const RunFacts& facts() const { return facts_; }

 private:
  struct Order {
    int64_t rank = 0;
    int64_t arrival = 0;
    bool operator<(const Order& other) const {
      return std::tie(rank, arrival) < std::tie(other.rank, other.arrival);
    }
  };
  struct Client {
    SequenceId id;
    SequenceRequest request;
    Order order;
    int64_t most_tokens = 0;  // of its answer
    int64_t answered = 0;
    int64_t logprobs = 0;
    int64_t rows = 0;
    int64_t mask_length = -1;  // tokens that its latest mask follows
    bool begun = false;        // at any time
    bool ended = false;
    int64_t prompt() const {
      return static_cast<int64_t>(request.prompt.size());
    }
    // Positions it has to compute in all.
    int64_t positions() const {
      return prompt() + std::max<int64_t>(most_tokens - 1, 0);
    }
  };

  absl::Status CheckPromptRows(const SimSequence& sequence,
                               const SequenceUpdate& update, Client* client);
  absl::Status CheckToken(const SimSequence& sequence,
                          const SampledToken& token, Client* client);
  absl::Status CheckEnd(const SimSequence& sequence,
                        const SequenceUpdate& update, Client* client);
  absl::Status CheckOrder(const StepPlan& plan, const Scheduler& scheduler);
  absl::Status CheckFirstGoesOn(const StepPlan& plan);
  // Whether a slice of it could be planned.
  bool CouldGoOn(const Client& client) const;
  void End(Client* client);

  const SchedulerLimits limits_;
  const Tampering tampering_;
  const int64_t most_positions_;
  PlanAudit audit_;
  absl::node_hash_map<SequenceId, Client> clients_;
  absl::btree_map<Order, Client*> live_;
  int64_t arrivals_ = 0;

  SequenceId first_;         // in order
  int64_t first_waits_ = 0;  // steps that it has not begun
  int64_t first_may_wait_ = 0;
  int64_t first_pauses_ = 0;  // steps since its last slice

  RunFacts facts_;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_RUN_CHECKER_H_
