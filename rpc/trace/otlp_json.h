// Spans as OpenTelemetry's protocol has them in JSON: the body of a POST to
// /v1/traces of a collector.
#ifndef FACET_RPC_TRACE_OTLP_JSON_H_
#define FACET_RPC_TRACE_OTLP_JSON_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "rpc/trace/span.h"

namespace facet {

// `version` of the service, which is "facet".
std::string OtlpJson(const std::vector<Span>& spans, absl::string_view version);

}  // namespace facet

#endif  // FACET_RPC_TRACE_OTLP_JSON_H_
