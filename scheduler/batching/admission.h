// Whether a waiting sequence fits beside the running ones.
#ifndef FACET_SCHEDULER_BATCHING_ADMISSION_H_
#define FACET_SCHEDULER_BATCHING_ADMISSION_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "scheduler/batching/sequence.h"
#include "scheduler/pages/page_table.h"

namespace facet {

// The longest cached prefix that `sequence` may share: rows of the prompt that
// it has yet to tell must be computed.
CachedPrefix FindPrefix(const PageTable& pages, Sequence* sequence);

// A sequence fits when the pages that it needs for the tokens it has are
// available beside those that the running ones still need for theirs and one of
// each pool for everybody. Alone, every sequence fits.
//
// Remembers what the last one that did not fit needed, so that asking again for
// the same one costs next to nothing until memory has become free.
class Admission {
 public:
  // No step brings more than `max_chunk` tokens.
  explicit Admission(int64_t max_chunk) : max_chunk_(max_chunk) {}

  // What `next` would share, if it fits.
  std::optional<CachedPrefix> Fits(const PageTable& pages,
                                   absl::Span<Sequence* const> running,
                                   Sequence* next);

  // Whether it might fit if all running ones that come after it and are less
  // urgent gave up their pages. False if there is none of those.
  bool MightFitInPlaceOfLessUrgent(const PageTable& pages,
                                   absl::Span<Sequence* const> running,
                                   Sequence* next);

 private:
  struct Blocked {
    SequenceId id;
    PageDemand needed;
  };
  PageDemand Needed(const PageTable& pages, Sequence* next,
                    const CachedPrefix& prefix) const;
  PageDemand SpokenFor(const PageTable& pages, const Sequence& running) const;

  int64_t max_chunk_;
  std::optional<Blocked> blocked_;
};

// `running` comes after `next` and is less urgent.
inline bool YieldsTo(const Sequence& next, const Sequence& running) {
  return next.order < running.order &&
         next.request.priority < running.request.priority;
}

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_ADMISSION_H_
