// A `facet serve` process of one's own, and what an operator sees of it.
#ifndef FACET_TESTS_SOAK_SERVED_MODEL_H_
#define FACET_TESTS_SOAK_SERVED_MODEL_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/coordinator/child_process.h"

namespace facet {

struct ServedModelOptions {
  std::string facet;               // the executable
  std::vector<std::string> flags;  // of `facet serve`, addresses left out
  std::string folder;              // for its ready line; writable
  std::string control = "127.0.0.1:0";
};

// What /metrics says.
struct ServerState {
  double running = 0;
  double waiting = 0;
  double used_pages = 0;  // of both pools
  double preemptions = 0;
  double prefix_hits = 0;
  double recoveries = 0;
  double asked_again = 0;  // requests that got the answer of an earlier one
  double restored = 0;     // requests of the server before
  double losses = 0;       // of workers that ran, as they were noticed
  double aborted = 0;      // requests that ended because nobody wants them
};

class ServedModel {
 public:
  // Waits up to a minute for the server to be ready.
  static absl::StatusOr<std::unique_ptr<ServedModel>> Start(
      const ServedModelOptions& options);

  const std::string& grpc() const { return grpc_; }
  pid_t pid() const { return process_->pid(); }

  absl::StatusOr<ServerState> State() const;
  // The body of GET `path`.
  absl::StatusOr<std::string> Get(const std::string& path) const;

  // Bytes of each process that no file backs: the coordinator, then workers.
  absl::StatusOr<std::vector<int64_t>> Memory() const;

  // Kills it at once and starts it anew, at the same addresses.
  absl::Status Replace();

  // Asks it to end. Errors: INTERNAL when it does not within half a minute, or
  // not well.
  absl::Status Stop();

 private:
  explicit ServedModel(const ServedModelOptions& options) : options_(options) {}

  absl::Status Launch();

  const ServedModelOptions options_;
  std::unique_ptr<ChildProcess> process_;
  std::shared_ptr<std::string> ended_how_;
  std::string grpc_ = "127.0.0.1:0";
  std::string http_ = "127.0.0.1:0";
};

// Of the body of a /metrics response. Errors: INVALID_ARGUMENT when a series is
// missing.
absl::StatusOr<ServerState> ParseMetrics(const std::string& text);

}  // namespace facet

#endif  // FACET_TESTS_SOAK_SERVED_MODEL_H_
