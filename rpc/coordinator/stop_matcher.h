// Finds stop strings in text that arrives piece by piece, however it is cut
// into pieces.
#ifndef FACET_RPC_COORDINATOR_STOP_MATCHER_H_
#define FACET_RPC_COORDINATOR_STOP_MATCHER_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace facet {

class StopMatcher {
 public:
  // REQUIRES: no stop string is empty.
  explicit StopMatcher(std::vector<std::string> stops)
      : stops_(std::move(stops)) {}

  // Returns the text that became certain; what could still turn into a stop
  // string is held back. Of several matches the one that ends first counts,
  // then the longest. REQUIRES: !stopped().
  std::string Push(absl::string_view text);

  // What is still held back. REQUIRES: !stopped().
  std::string Finish() { return std::move(held_); }

  // A stop string was found; it and what follows it are gone.
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_STOP_MATCHER_H_
