#include "runtime/comm/flight_recorder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet {
namespace {

const char* NameOf(CallState state) {
  switch (state) {
    case CallState::kAsked:
      return "asked for";
    case CallState::kQueued:
      return "queued";
    case CallState::kFinished:
      return "finished";
    case CallState::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace

std::string RecordedCall::ToString() const {
  std::string text = absl::StrCat("#", number, " ", what, " ", bytes, " B");
  if (peer >= 0) {
    absl::StrAppend(
        &text, what == std::string("send") ? " to rank " : " from rank ", peer);
  }
  return text;
}

uint64_t FlightRecorder::Ask(const char* what, size_t bytes, int peer,
                             absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t number = ++asked_;
  at(number) = {number, what, bytes, peer, CallState::kAsked, now};
  return number;
}

void FlightRecorder::Queue(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  RecordedCall& call = at(number);
  if (call.number == number && call.state == CallState::kAsked) {
    call.state = CallState::kQueued;
  }
}

void FlightRecorder::Fail(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (at(number).number == number) at(number).state = CallState::kFailed;
}

void FlightRecorder::FinishUpTo(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (; finished_ < std::min(number, asked_); ++finished_) {
    RecordedCall& call = at(finished_ + 1);
    if (call.number != finished_ + 1) continue;  // no longer kept
    if (call.state != CallState::kFailed) call.state = CallState::kFinished;
  }
}

RecordedCall FlightRecorder::Oldest() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (uint64_t n = std::max(finished_ + 1, FirstOf(kKept)); n <= asked_; ++n) {
    if (at(n).state != CallState::kFailed) return at(n);
  }
  return RecordedCall();
}

uint64_t FlightRecorder::asked() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return asked_;
}

uint64_t FlightRecorder::finished() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return finished_;
}

uint64_t FlightRecorder::FirstOf(uint64_t calls) const {
  calls = std::min(calls, kKept);
  return asked_ > calls ? asked_ - calls + 1 : 1;
}

std::string FlightRecorder::Last(size_t calls) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (uint64_t n = FirstOf(calls); n <= asked_; ++n) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", at(n).ToString(), " ",
                    NameOf(at(n).state));
  }
  return text.empty() ? "none" : text;
}

std::string FlightRecorder::Dump(absl::Time now) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (uint64_t n = FirstOf(kKept); n <= asked_; ++n) {
    absl::StrAppendFormat(&text, "  %-40s %-9s asked for %.3f s ago\n",
                          at(n).ToString(), NameOf(at(n).state),
                          absl::ToDoubleSeconds(now - at(n).asked_at));
  }
  return text.empty() ? "  no calls\n" : text;
}

}  // namespace facet
