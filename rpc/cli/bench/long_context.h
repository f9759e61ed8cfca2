// Attention of one decoded token behind a long context, by itself: the model's
// layers, its page tables and its K/V memory, without the hours that filling
// them through the model would take. Keys and values are made up.
#ifndef FACET_RPC_CLI_BENCH_LONG_CONTEXT_H_
#define FACET_RPC_CLI_BENCH_LONG_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/machine_limits/machine_limits.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/numerics.h"

namespace facet {

struct LongContextRuns {
  int64_t context = 0;              // tokens before the decoded one
  int64_t kv_bytes = 0;             // read by all layers together
  std::vector<double> attention_s;  // of all layers, by repetition
  std::vector<LimitSample> limits;  // as in DecodeRuns
};

struct LongContextOptions {
  int64_t context = 32768;
  int page_tokens = 32;
  KvFormat format = KvFormat::kF32;
  int threads = 1;
  int repeat = 3;
};

// `sample` is called around each repetition and may be empty.
//
// Errors: those of KvCache::Create().
absl::StatusOr<LongContextRuns> MeasureLongContext(
    const ModelConfig& model, const LongContextOptions& options,
    const std::function<LimitSample()>& sample);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_LONG_CONTEXT_H_
