// One request on its way through the scheduler.
#ifndef FACET_SCHEDULER_BATCHING_SEQUENCE_H_
#define FACET_SCHEDULER_BATCHING_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "runtime/plan/step_plan.h"
#include "scheduler/batching/request.h"
#include "scheduler/pages/page_table.h"

namespace facet {

// Requests that one unit of priority is worth.
inline constexpr int64_t kPriorityStride = 64;

// Who goes first: the lower rank, of equal ranks the earlier arrival.
struct SequenceOrder {
  int64_t rank = 0;
  int64_t arrival = 0;  // requests before it
  friend bool operator<(const SequenceOrder& a, const SequenceOrder& b) {
    return std::tie(a.rank, a.arrival) < std::tie(b.rank, b.arrival);
  }
};

// Its tokens are those of the prompt, then those drawn and known, then those
// drawn by steps whose results are not there yet. Positions are planned from 0
// on; a sequence that begins again starts over, with all known tokens as if
// they were its prompt.
struct Sequence {
  SequenceId id;
  SequenceOrder order;
  SequenceRequest request;  // its prompt is in `tokens`, stop_ids are sorted
  SequenceId family;        // the first of the samples of one prompt
  int64_t prompt_length = 0;
  std::vector<int32_t> tokens;  // known ones
  SequencePages pages;
  std::shared_ptr<const TokenMask> mask;
  // Positions of the prompt whose logits or log-probabilities, if wanted, have
  // been told: they are not asked for again.
  int64_t rows_told = 0;
  bool prompt_computed = false;  // once, if not in this run
  bool counted = false;          // in SchedulerStats::prefix_queries

  // Of the present run, from admission to preemption or the end.
  uint64_t run = 0;  // unique; 0: not running
  int micro_batch = 0;
  int64_t cache_version = 0;  // when its prefix was looked up
  bool begun = false;         // a slice was planned, so workers know of it
  bool mask_planned = false;  // `mask` serves for a slice that is under way
  int unknown = 0;            // tokens drawn and not known: 0 or more
  int64_t planned = 0;        // positions
  int64_t chunk = 0;          // of them in the step being planned

  bool draws() const { return request.max_tokens > 0; }
  bool wants_rows() const {
    return request.prompt_logits || request.prompt_logprobs >= 0;
  }
  int64_t length() const {
    return static_cast<int64_t>(tokens.size()) + unknown;
  }
  // Positions yet to be planned. The last token of an answer is never fed back.
  int64_t left() const {
    const bool all_drawn =
        draws() && length() - prompt_length >= request.max_tokens;
    return all_drawn ? 0 : length() - planned;
  }
  bool decoding() const { return draws() && begun && left() == 1; }
  bool prefilling() const { return left() > 0 && !decoding(); }
  // Whether the token behind all others can be drawn now.
  bool may_draw() const {
    return !request.masked || (mask != nullptr && !mask_planned);
  }
};

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_SEQUENCE_H_
