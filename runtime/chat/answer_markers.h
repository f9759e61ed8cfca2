// The control tokens that divide an answer into parts.
#ifndef FACET_RUNTIME_CHAT_ANSWER_MARKERS_H_
#define FACET_RUNTIME_CHAT_ANSWER_MARKERS_H_

#include <cstdint>

#include "runtime/chat/answer_part.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// The token around strings in calls.
inline constexpr char kStringMarker[] = "<|\"|>";

// Those a tokenizer lacks are -1.
struct AnswerMarkers {
  int32_t turn_open = -1;
  int32_t channel_open = -1;
  int32_t channel_close = -1;
  int32_t call_open = -1;
  int32_t call_close = -1;
  int32_t string = -1;

  static AnswerMarkers Of(const Tokenizer& tokenizer);

  // The kind of text behind token `id` that follows text of kind `before`.
  PartKind KindAfter(PartKind before, int32_t id) const;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_ANSWER_MARKERS_H_
