// What a simulated run came to. Values alone; simulation.h fills them in.
#ifndef FACET_SCHEDULER_SIMULATE_REPORT_H_
#define FACET_SCHEDULER_SIMULATE_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace facet {

struct Distribution {
  int64_t count = 0;
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};

// A percentile is the least value that so many percent do not exceed.
Distribution Describe(std::vector<float> values);

// The mean over simulated time of a value that stays until it is set again.
class TimeMean {
 public:
  void Set(double now_s, double value);
  void End(double now_s) { Set(now_s, value_); }
  double mean() const { return seconds_ > 0 ? area_ / seconds_ : 0; }
  double max() const { return max_; }

 private:
  double since_s_ = 0;
  double value_ = 0;
  double area_ = 0;
  double seconds_ = 0;
  double max_ = 0;
};

struct LevelReport {
  double mean = 0;  // over time
  double max = 0;
};

struct PoolReport {
  int64_t pages = 0;
  LevelReport held;    // by sequences
  LevelReport cached;  // by the prefix cache alone
};

struct SimulationReport {
  // Requests; every one is counted once below the first line.
  int64_t requests = 0;
  int64_t completed = 0;
  int64_t cancelled = 0;    // their clients went away
  int64_t expired = 0;      // their deadlines passed
  int64_t refused = 0;      // too long for the limits
  int64_t turned_away = 0;  // the queue was full
  int64_t unfinished = 0;   // when the simulation ended

  double simulated_s = 0;
  int64_t prompt_tokens = 0;    // of requests that got a first token
  int64_t output_tokens = 0;    // of all requests
  int64_t computed_tokens = 0;  // in all steps: recomputed and wasted ones too

  Distribution first_token_s;  // since the arrival
  Distribution inter_token_s;  // between neighbours of a sequence
  Distribution end_to_end_s;   // of completed requests
  Distribution queue_s;        // from the arrival to the first slice

  LevelReport running;  // sequences
  LevelReport waiting;
  int64_t preemptions = 0;
  int64_t failures = 0;
  int64_t prefix_queries = 0;  // tokens
  int64_t prefix_hits = 0;
  PoolReport sliding;
  PoolReport global;

  int64_t steps = 0;
  int64_t prefill_steps = 0;  // nothing but prefill
  int64_t decode_steps = 0;   // nothing but decode
  int64_t mixed_steps = 0;
  int64_t empty_steps = 0;  // only the names of sequences that ended
  double stage_busy = 0;    // share of the stages' time

  // The only figure that is measured and differs from run to run.
  Distribution scheduler_us;  // planning and applying of a step

  double requests_per_s() const { return PerSecond(completed); }
  double prompt_tokens_per_s() const { return PerSecond(prompt_tokens); }
  double output_tokens_per_s() const { return PerSecond(output_tokens); }
  double prefix_hit_rate() const {
    return prefix_queries > 0 ? static_cast<double>(prefix_hits) /
                                    static_cast<double>(prefix_queries)
                              : 0;
  }

 private:
  double PerSecond(int64_t count) const {
    return simulated_s > 0 ? static_cast<double>(count) / simulated_s : 0;
  }
};

std::string ToTable(const SimulationReport& report);
std::string ToJson(const SimulationReport& report);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_REPORT_H_
