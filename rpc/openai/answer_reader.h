// One answer's events told apart: what its parts say, and which of its tokens
// are content.
#ifndef FACET_RPC_OPENAI_ANSWER_READER_H_
#define FACET_RPC_OPENAI_ANSWER_READER_H_

#include <cstdint>
#include <vector>

#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/generate_request.h"
#include "runtime/chat/answer_event.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/answer_parser.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

class AnswerReader {
 public:
  // `tokenizer` outlives the reader. Without `calls`, what looks like a call is
  // content: no tool was declared.
  AnswerReader(const Tokenizer* tokenizer, const GenerateRequest& request,
               bool calls);

  // Appends what `event` brought. `content_tokens` are those whose bytes join
  // to the content; markers, thoughts, calls and the stop token are none.
  void Take(const TextEvent& event, std::vector<AnswerEvent>* events,
            std::vector<SampledToken>* content_tokens);

  bool called() const { return parser_.calls() > 0; }
  int64_t thought_tokens() const { return thought_tokens_; }

  // Whether the event's last token is one that ended the answer and is no part
  // of it.
  bool EndsWithStopToken(const TextEvent& event) const;

 private:
  const Tokenizer* const tokenizer_;
  const AnswerMarkers markers_;
  const std::vector<int32_t> stop_ids_;
  const bool calls_;
  AnswerParser parser_;
  PartKind kind_ = PartKind::kAnswer;  // of the next token
  int64_t thought_tokens_ = 0;
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_ANSWER_READER_H_
