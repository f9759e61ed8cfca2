#include "runtime/chat/answer_parser.h"

#include <string>

#include "runtime/chat/answer_markers.h"

namespace facet {

void AnswerParser::Push(const AnswerPart& part,
                        std::vector<AnswerEvent>* events) {
  if (part.begins || part.kind != kind_) {
    // A thought that goes on to something else is over; its line break goes.
    line_break_held_ = false;
    EndPart(events);
    kind_ = part.kind;
  }
  switch (part.kind) {
    case PartKind::kAnswer:
      AppendEvent({AnswerEventKind::kContent, part.text}, events);
      return;
    case PartKind::kThought:
      Thought(part.text, events);
      return;
    case PartKind::kToolCall:
      Call(part, events);
      return;
  }
}

void AnswerParser::Finish(std::vector<AnswerEvent>* events) {
  if (line_break_held_) {
    AppendEvent({AnswerEventKind::kThought, "\n"}, events);
    line_break_held_ = false;
  }
  EndPart(events);
}

void AnswerParser::EndPart(std::vector<AnswerEvent>* events) {
  if (!call_.has_value()) return;
  call_->Finish(events);
  if (call_->began()) ++calls_;
  call_.reset();
}

void AnswerParser::Thought(absl::string_view text,
                           std::vector<AnswerEvent>* events) {
  if (text.empty()) return;
  std::string more = line_break_held_ ? "\n" : "";
  line_break_held_ = text.back() == '\n';
  if (line_break_held_) text.remove_suffix(1);
  more.append(text.data(), text.size());
  AppendEvent({AnswerEventKind::kThought, std::move(more)}, events);
}

void AnswerParser::Call(const AnswerPart& part,
                        std::vector<AnswerEvent>* events) {
  if (!call_.has_value()) call_.emplace(calls_);
  if (part.marker && part.text == kStringMarker) {
    call_->StringMarker(events);
  } else {
    call_->Text(part.text, events);
  }
}

}  // namespace facet
