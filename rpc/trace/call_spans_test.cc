#include "rpc/trace/call_spans.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/time/time.h"

namespace facet {
namespace {

class Gathered : public SpanSink {
 public:
  void Add(Span span) override { spans.push_back(std::move(span)); }
  std::vector<Span> spans;
};

Usage Answer(double queue_s, double first_token_s, int64_t tokens,
             double tokens_per_s) {
  Usage usage;
  usage.queue_s = queue_s;
  usage.first_token_s = first_token_s;
  usage.completion_tokens = tokens;
  usage.tokens_per_s = tokens_per_s;
  return usage;
}

Span Call() {
  Span call;
  call.context = NewSpan(std::nullopt);
  call.name = "call";
  call.start = absl::FromUnixSeconds(100);
  call.end = absl::FromUnixSeconds(110);
  return call;
}

TEST(CallSpansTest, PartsFollowOneAnotherWithinTheCall) {
  CallTimes times;
  times.Note(Answer(0.5, 1.5, 11, 5));
  Gathered told;
  const Span call = Call();
  TellSpans(call, times, &told);
  ASSERT_EQ(told.spans.size(), 4u);
  const char* const names[] = {"queue", "prefill", "decode"};
  const double ends[] = {0.5, 1.5, 3.5};
  absl::Time start = call.start;
  for (int i = 0; i < 3; ++i) {
    const Span& part = told.spans[i];
    EXPECT_EQ(part.name, names[i]);
    EXPECT_EQ(part.parent_id, call.context.span_id);
    EXPECT_EQ(part.context.trace_id, call.context.trace_id);
    EXPECT_EQ(part.start, start);
    EXPECT_EQ(part.end, call.start + absl::Seconds(ends[i]));
    start = part.end;
  }
  EXPECT_EQ(told.spans[3].context.span_id, call.context.span_id);
}

TEST(CallSpansTest, AnswersBesideEachOtherCountFromTheFirstToTheLast) {
  CallTimes times;
  times.Note(Answer(0.25, 2, 3, 1));
  times.Note(Answer(0.5, 1, 5, 1));
  EXPECT_EQ(times.queue_s, 0.25);
  EXPECT_EQ(times.first_token_s, 1);
  EXPECT_EQ(times.decode_s, 4);
  EXPECT_EQ(times.tokens_per_s, 2);
}

TEST(CallSpansTest, ARefusedCallHasNoParts) {
  Gathered told;
  TellSpans(Call(), CallTimes(), &told);
  ASSERT_EQ(told.spans.size(), 1u);
  EXPECT_EQ(told.spans[0].name, "call");
}

}  // namespace
}  // namespace facet
