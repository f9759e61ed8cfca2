#include "rpc/coordinator/call_notes.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rpc/trace/trace_context.h"

namespace facet {

absl::string_view Metadata(const grpc::CallbackServerContext* context,
                           const char* key) {
  const auto found = context->client_metadata().find(key);
  if (found == context->client_metadata().end()) return "";
  return absl::string_view(found->second.data(), found->second.size());
}

CallNotes::CallNotes(grpc::CallbackServerContext* context, const char* method,
                     const DoorPass* pass, SpanSink* spans, AccessLog* log)
    : spans_(spans), log_(log) {
  const auto parent = ParseTraceParent(Metadata(context, "traceparent"));
  span_.context = NewSpan(parent);
  if (parent.has_value()) span_.parent_id = parent->span_id;
  span_.name = absl::StrCat("facet.v1.Inference/", method);
  span_.serves = true;
  span_.start = absl::Now();
  context->AddInitialMetadata("traceresponse",
                              FormatTraceParent(span_.context));
  record_.time = span_.start;
  record_.trace_id = span_.context.trace_id;
  record_.peer = context->peer();
  record_.method = "gRPC";
  record_.path = absl::StrCat("/", span_.name);
  record_.streamed = true;
  if (pass != nullptr) record_.key = pass->key_name();
}

void CallNotes::Note(const TextEvent& event) {
  if (event.finish == FinishReason::kNone) return;
  times_.Note(event.usage);
  record_.prompt_tokens = event.usage.prompt_tokens;
  record_.completion_tokens = std::max<int64_t>(record_.completion_tokens, 0) +
                              event.usage.completion_tokens;
}

void CallNotes::End(const grpc::Status& status) {
  const absl::Time end = absl::Now();
  if (log_ != nullptr) {
    record_.duration = end - record_.time;
    record_.status = status.error_code();
    record_.gone = status.error_code() == grpc::StatusCode::CANCELLED;
    if (!status.ok()) {
      record_.error = absl::StatusCodeToString(
          static_cast<absl::StatusCode>(status.error_code()));
    }
    log_->Write(record_);
  }
  if (spans_ == nullptr || !span_.context.sampled) return;
  span_.end = end;
  span_.error = status.error_message();
  span_.attributes = {
      {"rpc.system", "grpc"},
      {"rpc.grpc.status_code", static_cast<int64_t>(status.error_code())}};
  if (record_.prompt_tokens >= 0) {
    span_.attributes.emplace_back("gen_ai.usage.input_tokens",
                                  record_.prompt_tokens);
    span_.attributes.emplace_back("gen_ai.usage.output_tokens",
                                  record_.completion_tokens);
  }
  TellSpans(std::move(span_), times_, spans_);
}

}  // namespace facet
