// What happened from when to when, as a part of a trace.
#ifndef FACET_RPC_TRACE_SPAN_H_
#define FACET_RPC_TRACE_SPAN_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "rpc/trace/trace_context.h"

namespace facet {

using SpanValue = std::variant<std::string, int64_t, double, bool>;

struct Span {
  TraceContext context;
  std::string parent_id;  // empty: none
  std::string name;
  bool serves = false;  // answers a request from outside
  absl::Time start;
  absl::Time end;
  std::vector<std::pair<std::string, SpanValue>> attributes;
  std::string error;  // empty: none
};

}  // namespace facet

#endif  // FACET_RPC_TRACE_SPAN_H_
