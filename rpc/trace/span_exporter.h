// Sends spans to a collector of OpenTelemetry, as JSON over HTTP.
#ifndef FACET_RPC_TRACE_SPAN_EXPORTER_H_
#define FACET_RPC_TRACE_SPAN_EXPORTER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rpc/trace/span.h"

namespace facet {

// Where spans go. Safe from several threads.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  // Never blocks.
  virtual void Add(Span span) = 0;
};

// `url` is http://HOST:PORT/PATH, usually of port 4318 and path /v1/traces. A
// thread sends what has gathered every second. Spans that a collector does not
// take are dropped, and stderr says so once a minute; a slow collector costs
// spans, never a request's time. Its end sends what is left.
//
// Errors: INVALID_ARGUMENT for another kind of URL.
absl::StatusOr<std::unique_ptr<SpanSink>> MakeSpanExporter(
    const std::string& url, const std::string& version);

}  // namespace facet

#endif  // FACET_RPC_TRACE_SPAN_EXPORTER_H_
