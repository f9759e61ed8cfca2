#include "rpc/trace/call_spans.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"

namespace facet {

void CallTimes::Note(const Usage& usage) {
  if (usage.first_token_s <= 0) return;
  const bool first = first_token_s <= 0;
  queue_s = first ? usage.queue_s : std::min(queue_s, usage.queue_s);
  first_token_s = first ? usage.first_token_s
                        : std::min(first_token_s, usage.first_token_s);
  tokens_per_s += usage.tokens_per_s;
  if (usage.tokens_per_s > 0) {
    decode_s =
        std::max(decode_s, static_cast<double>(usage.completion_tokens - 1) /
                               usage.tokens_per_s);
  }
}

void TellSpans(Span call, const CallTimes& times, SpanSink* sink) {
  const auto part = [&](const char* name, double from_s, double to_s) {
    Span span;
    span.context = NewSpan(call.context);
    span.parent_id = call.context.span_id;
    span.name = name;
    span.start = call.start + absl::Seconds(from_s);
    span.end = call.start + absl::Seconds(to_s);
    sink->Add(std::move(span));
  };
  if (times.first_token_s > 0) {
    part("queue", 0, times.queue_s);
    part("prefill", times.queue_s, times.first_token_s);
    if (times.decode_s > 0) {
      part("decode", times.first_token_s, times.first_token_s + times.decode_s);
    }
  }
  sink->Add(std::move(call));
}

}  // namespace facet
