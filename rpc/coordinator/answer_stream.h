// Token ids of an answer to the text and the parts a user sees: thought, answer
// and tool calls, told apart by token ids, never by text. Streamed or not,
// however tokens are grouped, the concatenation is the same.
#ifndef FACET_RPC_COORDINATOR_ANSWER_STREAM_H_
#define FACET_RPC_COORDINATOR_ANSWER_STREAM_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/stop_matcher.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// The ids that separate parts. Those a tokenizer lacks are -1.
struct AnswerMarkers {
  int32_t turn_open = -1;
  int32_t channel_open = -1;
  int32_t channel_close = -1;
  int32_t call_open = -1;
  int32_t call_close = -1;

  static AnswerMarkers Of(const Tokenizer& tokenizer);

  // The kind of text behind token `id` that follows text of kind `before`.
  PartKind KindAfter(PartKind before, int32_t id) const;
};

class AnswerStream {
 public:
  // The prompt tells what the answer begins with: a rendered conversation may
  // end inside a thought. `tokenizer` outlives the stream.
  AnswerStream(const Tokenizer* tokenizer, absl::Span<const int32_t> prompt,
               std::vector<std::string> stop_strings);

  // Appends what became certain with this token to `text` (special tokens left
  // out) and to `parts`. Nothing more comes once stopped(). With `may_stop`
  // false, stop strings do not count; only the first tokens may be such.
  void Push(int32_t id, bool may_stop, std::string* text,
            std::vector<AnswerPart>* parts);

  // The same for what is still held back.
  void Finish(std::string* text, std::vector<AnswerPart>* parts);

  // What the next token belongs to, as far as it does not say itself.
  PartKind kind() const { return kind_; }

  // A stop string was found.
  bool stopped() const { return matcher_.stopped(); }

 private:
  // Text in the order of the tokens, not yet certain: `bytes` of plain text, or
  // a marker that parts show and plain text leaves out.
  struct Segment {
    PartKind kind;
    bool begins;         // a part
    bool names_channel;  // and the part's first line is the channel's name
    size_t bytes;
    std::string marker;
  };

  void Append(size_t bytes, absl::string_view marker);

  void Release(std::string certain, std::string* text,
               std::vector<AnswerPart>* parts);
  void Emit(const Segment& segment, absl::string_view shown,
            std::vector<AnswerPart>* parts);

  const Tokenizer* tokenizer_;
  const AnswerMarkers markers_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  PartKind kind_ = PartKind::kAnswer;  // of the next token
  bool begins_ = true;                 // that token begins a part
  bool names_channel_ = false;
  std::deque<Segment> segments_;
  bool shown_begins_ = false;     // the next text shown begins a part
  bool in_channel_name_ = false;  // it is in a channel's name
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_ANSWER_STREAM_H_
