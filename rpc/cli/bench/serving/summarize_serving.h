// Measurements of serving to figures: what is divided by what. Pure arithmetic.
//
// Tokens per second are held against the bound that the machine sets to exactly
// the steps that ran: a step takes at least the longer of two times, that for
// its bytes (every weight it touches once, of experts the expected number, and
// the keys and values it reads) at the matrix-vector rate, and that for its
// floating-point operations at the peak of multiply-adds. The rates are means
// of samples taken right before and after the load.
#ifndef FACET_RPC_CLI_BENCH_SERVING_SUMMARIZE_SERVING_H_
#define FACET_RPC_CLI_BENCH_SERVING_SUMMARIZE_SERVING_H_

#include "rpc/cli/bench/figure.h"
#include "rpc/cli/bench/serving/serving_measurements.h"
#include "runtime/config/model_config.h"

namespace facet {

struct ServingContext {
  const ModelConfig* model = nullptr;  // null: no bounds
  bool bf16_dot = false;               // as in SummaryContext
  int kv_bytes_per_element = 4;
};

// What the machine's rates allow.
struct MachineRates {
  double bytes_per_s = 0;
  double flops_per_s = 0;
};

// The steps within [begin, end], those at its edges by the share inside.
struct StepTotals {
  double steps = 0;
  double tokens = 0;
  double decode_only_s = 0;   // time of steps that only decode
  double decode_bound_s = 0;  // and the least that they could take
  double prefill_s = 0;       // of the others
  double prefill_bound_s = 0;
  double compute_s = 0;  // of all, by the slowest rank's word

  double busy_s() const { return decode_only_s + prefill_s; }
  double bound_s() const { return decode_bound_s + prefill_bound_s; }
};

StepTotals TotalsOf(const std::vector<ServedStep>& steps,
                    SteadyClock::time_point begin, SteadyClock::time_point end,
                    const ServingContext& context, const MachineRates& rates);

// Figures and notes; the setting is left empty.
BenchReport SummarizeServing(const ServingMeasurements& all,
                             const ServingContext& context);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_SUMMARIZE_SERVING_H_
