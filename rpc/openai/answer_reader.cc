#include "rpc/openai/answer_reader.h"

#include <algorithm>

namespace facet {

AnswerReader::AnswerReader(const Tokenizer* tokenizer,
                           const GenerateRequest& request, bool calls)
    : tokenizer_(tokenizer),
      markers_(AnswerMarkers::Of(*tokenizer)),
      stop_ids_(request.stop_ids),
      calls_(calls) {
  for (const int32_t id : request.prompt) {
    kind_ = markers_.KindAfter(kind_, id);
  }
}

bool AnswerReader::EndsWithStopToken(const TextEvent& event) const {
  return event.finish == FinishReason::kStop && !event.tokens.empty() &&
         std::find(stop_ids_.begin(), stop_ids_.end(),
                   event.tokens.back().token) != stop_ids_.end();
}

void AnswerReader::Take(const TextEvent& event,
                        std::vector<AnswerEvent>* events,
                        std::vector<SampledToken>* content_tokens) {
  for (const AnswerPart& part : event.parts) {
    if (part.kind != PartKind::kToolCall || calls_) {
      parser_.Push(part, events);
      continue;
    }
    AnswerPart plain = part;
    plain.kind = PartKind::kAnswer;
    parser_.Push(plain, events);
  }
  if (event.finish != FinishReason::kNone) parser_.Finish(events);

  const size_t count = event.tokens.size() - (EndsWithStopToken(event) ? 1 : 0);
  for (size_t i = 0; i < count; ++i) {
    const SampledToken& token = event.tokens[i];
    const PartKind after = markers_.KindAfter(kind_, token.token);
    const bool special = tokenizer_->is_special(token.token);
    if (kind_ == PartKind::kThought || after == PartKind::kThought) {
      ++thought_tokens_;
    } else if (kind_ == PartKind::kAnswer && after == kind_ && !special) {
      content_tokens->push_back(token);
    }
    kind_ = after;
  }
}

}  // namespace facet
