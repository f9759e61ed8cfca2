#include "rpc/coordinator/answer_stream.h"

#include <algorithm>
#include <utility>

namespace facet {

AnswerMarkers AnswerMarkers::Of(const Tokenizer& tokenizer) {
  AnswerMarkers markers;
  markers.turn_open = tokenizer.TokenId("<|turn>").value_or(-1);
  markers.channel_open = tokenizer.TokenId("<|channel>").value_or(-1);
  markers.channel_close = tokenizer.TokenId("<channel|>").value_or(-1);
  markers.call_open = tokenizer.TokenId("<|tool_call>").value_or(-1);
  markers.call_close = tokenizer.TokenId("<tool_call|>").value_or(-1);
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

AnswerStream::AnswerStream(const Tokenizer* tokenizer,
                           absl::Span<const int32_t> prompt,
                           std::vector<std::string> stop_strings)
    : tokenizer_(tokenizer),
      markers_(AnswerMarkers::Of(*tokenizer)),
      decoder_(tokenizer, /*skip_special=*/true),
      matcher_(std::move(stop_strings)) {
  // A thought that the prompt opened has its name there when a line ends
  // between the two.
  bool name_ended = false;
  for (const int32_t id : prompt) {
    kind_ = markers_.KindAfter(kind_, id);
    if (id == markers_.channel_open) {
      name_ended = false;
    } else if (id >= 0 && id < tokenizer->vocab_size() &&
               tokenizer->TokenText(id).find('\n') != absl::string_view::npos) {
      name_ended = true;
    }
  }
  names_channel_ = kind_ == PartKind::kThought && !name_ended;
}

void AnswerStream::Append(size_t bytes, absl::string_view marker) {
  segments_.push_back({kind_, std::exchange(begins_, false),
                       std::exchange(names_channel_, false), bytes,
                       std::string(marker.data(), marker.size())});
}

void AnswerStream::Push(int32_t id, bool may_stop, std::string* text,
                        std::vector<AnswerPart>* parts) {
  if (stopped() || id < 0 || id >= tokenizer_->vocab_size()) return;
  const std::string piece = decoder_.Push(id);
  const PartKind next = markers_.KindAfter(kind_, id);
  const bool opens = id == markers_.channel_open || id == markers_.call_open;
  // What comes out with a marker was held back before it.
  if (!piece.empty()) Append(piece.size(), "");
  if (opens || next != kind_) {
    begins_ = true;
    names_channel_ = id == markers_.channel_open;
  } else if (kind_ == PartKind::kToolCall && tokenizer_->is_special(id)) {
    Append(0, tokenizer_->TokenText(id));
  }
  kind_ = next;
  Release(may_stop ? matcher_.Push(piece) : piece, text, parts);
}

void AnswerStream::Finish(std::string* text, std::vector<AnswerPart>* parts) {
  if (stopped()) return;
  const std::string piece = decoder_.Finish();
  if (!piece.empty()) Append(piece.size(), "");
  std::string certain = matcher_.Push(piece);
  if (!stopped()) certain += matcher_.Finish();
  Release(std::move(certain), text, parts);
}

void AnswerStream::Release(std::string certain, std::string* text,
                           std::vector<AnswerPart>* parts) {
  absl::string_view rest = certain;
  while (!segments_.empty()) {
    Segment& segment = segments_.front();
    if (segment.bytes == 0) {
      Emit(segment, segment.marker, parts);
      segments_.pop_front();
      continue;
    }
    const size_t count = std::min(segment.bytes, rest.size());
    if (count == 0) break;
    Emit(segment, rest.substr(0, count), parts);
    rest.remove_prefix(count);
    segment.bytes -= count;
    segment.begins = false;
    if (segment.bytes == 0) segments_.pop_front();
  }
  text->append(certain);
}

void AnswerStream::Emit(const Segment& segment, absl::string_view shown,
                        std::vector<AnswerPart>* parts) {
  if (segment.begins) {
    shown_begins_ = true;
    in_channel_name_ = segment.names_channel;
  }
  if (in_channel_name_) {
    const size_t end = shown.find('\n');
    if (end == absl::string_view::npos) return;
    shown.remove_prefix(end + 1);
    in_channel_name_ = false;
  }
  if (shown.empty()) return;
  const bool begins = std::exchange(shown_begins_, false);
  if (!begins && !parts->empty() && parts->back().kind == segment.kind) {
    parts->back().text.append(shown.data(), shown.size());
  } else {
    parts->push_back(
        {segment.kind, std::string(shown.data(), shown.size()), begins});
  }
}

}  // namespace facet
