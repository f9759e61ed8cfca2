// Measurements to figures: what is divided by what. Pure arithmetic.
//
// The limits are the means of those before and after; decode and prefill are
// held, repetition by repetition, against samples taken right before and after
// it, and their fraction is the median of those ratios. What each figure is
// held against:
//
//   load.ready             one pass over the weights at the read rate; from
//                          disk: one thread reading the files
//   decode, concurrency    the matrix-vector rate over the bytes of weights
//                          that a step has to read (runtime/plan/work.h)
//   prefill, GFLOP/s       multiply-adds in registers, of the instruction that
//                          the products use
//   collectives            the same sum between two spinning threads
//   memory                 weights and K/V pages in use; for what no file
//                          backs: those pages and 150 MB
#ifndef FACET_RPC_CLI_BENCH_SUMMARIZE_H_
#define FACET_RPC_CLI_BENCH_SUMMARIZE_H_

#include "rpc/cli/bench/figure.h"
#include "rpc/cli/bench/measurements.h"
#include "runtime/config/model_config.h"

namespace facet {

struct SummaryContext {
  const ModelConfig* model = nullptr;
  // Products of matrices go through the bf16 dot-product instruction.
  bool bf16_dot = false;
  int kv_bytes_per_element = 4;
};

// Figures and notes; the setting is left empty.
BenchReport Summarize(const Measurements& all, const SummaryContext& context);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SUMMARIZE_H_
