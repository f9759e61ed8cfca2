// A worker without a model, for tests and benchmarks of what stands around it:
// its tokens are a function of sequence and position, its logits of the
// element. For log-probabilities of drawn tokens it gives the microseconds
// between its last step's end and this one's beginning.
#ifndef FACET_RPC_WORKER_TESTING_FAKE_PARTS_H_
#define FACET_RPC_WORKER_TESTING_FAKE_PARTS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "rpc/worker/worker_parts.h"

namespace facet {

struct FakeWorkerOptions {
  // Of a step: busy for `compute`, then asleep for `sleep`.
  absl::Duration compute;
  absl::Duration sleep;
  int64_t vocab_size = 1000;
  std::string mode = "f32";  // the numerics mode it claims
  // From 1; 0: never. At that step the worker fails, waits to be aborted, or
  // ends its process with exit code 3.
  uint64_t fail_at_step = 0;
  uint64_t hang_at_step = 0;
  uint64_t exit_at_step = 0;
  int only_rank = -1;      // that misbehaves so; -1: all
  std::string load_error;  // loading fails with it, DATA_LOSS
  int least_world = 1;     // loading a part of fewer is RESOURCE_EXHAUSTED
};

// "mode=avx512,hang_at_step=3": names as above, durations in microseconds.
FakeWorkerOptions ParseFakeWorkerOptions(absl::string_view text);

WorkerParts FakeParts(const FakeWorkerOptions& options);

// What the fake says, for tests to expect.
int32_t FakeToken(SequenceId sequence, int64_t position, int64_t vocab_size);
float FakeLogit(SequenceId sequence, int64_t position, int64_t id);

}  // namespace facet

#endif  // FACET_RPC_WORKER_TESTING_FAKE_PARTS_H_
