// A whole cluster inside one test: every rank is a thread with a queue of
// steps, the real rank runner and the real host communicator, without processes
// or gRPC. With several stages, steps overlap as they do between machines.
#ifndef FACET_TESTS_SUPPORT_THREAD_CLUSTER_H_
#define FACET_TESTS_SUPPORT_THREAD_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/executor/executor.h"
#include "runtime/executor/rank_runner.h"

namespace facet {

// `options.rank` is ignored; pp_size * tp_size ranks start.
absl::StatusOr<std::unique_ptr<Executor>> MakeThreadCluster(
    const RankOptions& options);

}  // namespace facet

#endif  // FACET_TESTS_SUPPORT_THREAD_CLUSTER_H_
