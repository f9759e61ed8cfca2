#include "rpc/coordinator/answer_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace facet {

namespace {

// Names the only channel there is. Its line is no part of the thought.
constexpr absl::string_view kThoughtName = "thought\n";

}  // namespace

AnswerStream::AnswerStream(const Tokenizer* tokenizer,
                           absl::Span<const int32_t> prompt,
                           std::vector<std::string> stop_strings)
    : tokenizer_(tokenizer),
      markers_(AnswerMarkers::Of(*tokenizer)),
      decoder_(tokenizer, /*skip_special=*/true),
      matcher_(std::move(stop_strings)) {
  // A thought that the prompt opened may have a part of its name there.
  std::string opened;
  for (const int32_t id : prompt) {
    kind_ = markers_.KindAfter(kind_, id);
    if (id >= 0 && id == markers_.channel_open) {
      opened.clear();
    } else if (opened.size() < kThoughtName.size()) {
      opened += TokenBytes(*tokenizer, id);
    }
  }
  if (kind_ == PartKind::kThought && opened.size() < kThoughtName.size() &&
      absl::StartsWith(kThoughtName, opened)) {
    name_begins_ = opened.size();
  }
}

void AnswerStream::Append(size_t bytes, absl::string_view marker) {
  segments_.push_back({kind_, std::exchange(begins_, false),
                       std::exchange(name_begins_, std::nullopt), bytes,
                       std::string(marker.data(), marker.size())});
}

void AnswerStream::Push(int32_t id, bool may_stop, std::string* text,
                        std::vector<AnswerPart>* parts) {
  if (stopped() || id < 0 || id >= tokenizer_->vocab_size()) return;
  const PartKind next = markers_.KindAfter(kind_, id);
  const bool opens = id == markers_.channel_open || id == markers_.call_open;
  const bool divides = opens || next != kind_;
  const bool in_call =
      kind_ == PartKind::kToolCall && tokenizer_->is_special(id);
  // A run of byte tokens ends before a marker: what it held belongs there.
  const std::string piece =
      divides || in_call ? decoder_.Finish() : decoder_.Push(id);
  if (!piece.empty()) Append(piece.size(), "");
  if (divides) {
    begins_ = true;
    name_begins_.reset();
    if (id == markers_.channel_open) name_begins_ = 0;
  } else if (in_call) {
    Append(0, tokenizer_->TokenText(id));
  }
  kind_ = next;
  Release(may_stop ? matcher_.Push(piece) : piece, text, parts);
}

void AnswerStream::Finish(std::string* text, std::vector<AnswerPart>* parts) {
  if (!stopped()) {
    const std::string piece = decoder_.Finish();
    if (!piece.empty()) Append(piece.size(), "");
    std::string certain = matcher_.Push(piece);
    if (!stopped()) certain += matcher_.Finish();
    Release(std::move(certain), text, parts);
  }
  EndName(parts);
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
    EndName(parts);
    shown_begins_ = true;
    name_ = segment.name;
  }
  if (name_.has_value()) SkipName(&shown, parts);
  Show(segment.kind, shown, /*marker=*/segment.bytes == 0, parts);
}

void AnswerStream::SkipName(absl::string_view* shown,
                            std::vector<AnswerPart>* parts) {
  const absl::string_view expected = kThoughtName.substr(*name_);
  const size_t length = std::min(expected.size(), shown->size());
  if (expected.substr(0, length) != shown->substr(0, length)) {
    name_ = 0;
    EndName(parts);
    return;
  }
  name_held_.append(shown->data(), length);
  shown->remove_prefix(length);
  *name_ += length;
  if (*name_ == kThoughtName.size()) EndName(parts);
}

void AnswerStream::EndName(std::vector<AnswerPart>* parts) {
  const bool whole = name_.has_value() && *name_ + 1 >= kThoughtName.size();
  if (!whole) Show(PartKind::kThought, name_held_, /*marker=*/false, parts);
  name_held_.clear();
  name_.reset();
}

void AnswerStream::Show(PartKind kind, absl::string_view shown, bool marker,
                        std::vector<AnswerPart>* parts) {
  if (shown.empty()) return;
  const bool begins = std::exchange(shown_begins_, false);
  if (!begins && !marker && !parts->empty() && parts->back().kind == kind &&
      !parts->back().marker) {
    parts->back().text.append(shown.data(), shown.size());
  } else {
    parts->push_back(
        {kind, std::string(shown.data(), shown.size()), begins, marker});
  }
}

}  // namespace facet
