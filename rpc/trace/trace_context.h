// Where a request stands in a trace that its client began, in the form of the
// W3C Recommendation "Trace Context": the header traceparent.
#ifndef FACET_RPC_TRACE_TRACE_CONTEXT_H_
#define FACET_RPC_TRACE_TRACE_CONTEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace facet {

struct TraceContext {
  std::string trace_id;  // 32 hexadecimal digits, lower case
  std::string span_id;   // 16
  bool sampled = true;   // somebody wants to keep the trace
};

// "00-TRACE_ID-SPAN_ID-FLAGS", or a later version that begins so; none for
// anything else, which is then as good as no header.
std::optional<TraceContext> ParseTraceParent(absl::string_view header);

std::string FormatTraceParent(const TraceContext& context);

// A new span: of the trace of `parent`, or of a new trace where there is none.
TraceContext NewSpan(const std::optional<TraceContext>& parent);

}  // namespace facet

#endif  // FACET_RPC_TRACE_TRACE_CONTEXT_H_
