#include "runtime/chat/answer_markers.h"

namespace facet {

AnswerMarkers AnswerMarkers::Of(const Tokenizer& tokenizer) {
  AnswerMarkers markers;
  markers.turn_open = tokenizer.TokenId("<|turn>").value_or(-1);
  markers.channel_open = tokenizer.TokenId("<|channel>").value_or(-1);
  markers.channel_close = tokenizer.TokenId("<channel|>").value_or(-1);
  markers.call_open = tokenizer.TokenId("<|tool_call>").value_or(-1);
  markers.call_close = tokenizer.TokenId("<tool_call|>").value_or(-1);
  markers.string = tokenizer.TokenId(kStringMarker).value_or(-1);
  return markers;
}

PartKind AnswerMarkers::KindAfter(PartKind before, int32_t id) const {
  if (id < 0) return before;
  if (id == channel_open) return PartKind::kThought;
  if (id == call_open) return PartKind::kToolCall;
  if (id == turn_open || id == channel_close || id == call_close) {
    return PartKind::kAnswer;
  }
  return before;
}

}  // namespace facet
