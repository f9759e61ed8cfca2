// The spans of one request to the API, whichever door it came through.
#ifndef FACET_RPC_TRACE_CALL_SPANS_H_
#define FACET_RPC_TRACE_CALL_SPANS_H_

#include "rpc/convert/text_messages.h"
#include "rpc/trace/span.h"
#include "rpc/trace/span_exporter.h"

namespace facet {

// Where the time of a request went. Its answers run beside each other.
struct CallTimes {
  double queue_s = 0;        // from its arrival until it was computed
  double first_token_s = 0;  // from its arrival; 0: there was no token
  double decode_s = 0;       // of the longest answer behind its first token
  double tokens_per_s = 0;   // of all answers together

  // Takes in an answer that has ended.
  void Note(const Usage& usage);
};

// Tells `call`, which is complete, and as parts of it "queue", "prefill" and
// "decode" as far as it came.
void TellSpans(Span call, const CallTimes& times, SpanSink* sink);

}  // namespace facet

#endif  // FACET_RPC_TRACE_CALL_SPANS_H_
