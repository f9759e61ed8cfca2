// Token ids of an answer to the text and the parts a user sees: thought, answer
// and tool calls, told apart by token ids, never by text. Streamed or not,
// however tokens are grouped, the concatenation is the same: what the stretches
// between markers decode to.
#ifndef FACET_RPC_COORDINATOR_ANSWER_STREAM_H_
#define FACET_RPC_COORDINATOR_ANSWER_STREAM_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "rpc/coordinator/stop_matcher.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/answer_part.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

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
    bool begins;                 // a part
    std::optional<size_t> name;  // it begins inside a channel's name: how far
    size_t bytes;
    std::string marker;
  };

  void Append(size_t bytes, absl::string_view marker);

  void Release(std::string certain, std::string* text,
               std::vector<AnswerPart>* parts);
  void Emit(const Segment& segment, absl::string_view shown,
            std::vector<AnswerPart>* parts);
  // Takes what belongs to the channel's name from `shown`, the next text of a
  // thought.
  void SkipName(absl::string_view* shown, std::vector<AnswerPart>* parts);
  // The name goes no further. Unless it is whole, it is shown.
  void EndName(std::vector<AnswerPart>* parts);
  void Show(PartKind kind, absl::string_view shown, bool marker,
            std::vector<AnswerPart>* parts);

  const Tokenizer* tokenizer_;
  const AnswerMarkers markers_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  PartKind kind_ = PartKind::kAnswer;  // of the next token
  bool begins_ = true;                 // that token begins a part
  std::optional<size_t> name_begins_;  // the next token is in a name
  std::deque<Segment> segments_;
  bool shown_begins_ = false;  // the next text shown begins a part
  // How much of a channel's name stands before the next text shown, and what of
  // that is in the answer. None: the next text is not in a name.
  std::optional<size_t> name_;
  std::string name_held_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_ANSWER_STREAM_H_
