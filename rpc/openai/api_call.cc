#include "rpc/openai/api_call.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rpc/openai/api_error.h"
#include "rpc/openai/random_id.h"
#include "rpc/openai/server_events.h"

namespace facet {
namespace {

constexpr size_t kMaxIdBytes = 128;

bool IsRequestId(const std::string& id) {
  if (id.empty() || id.size() > kMaxIdBytes) return false;
  for (const char c : id) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

}  // namespace

ApiCall::ApiCall(std::shared_ptr<HttpExchange> exchange, AccessLog* log,
                 const std::vector<std::string>* allowed_origins,
                 SpanSink* spans)
    : exchange_(std::move(exchange)),
      log_(log),
      allowed_origins_(allowed_origins),
      spans_(spans),
      arrival_(absl::Now()),
      created_(arrival_) {
  if (const std::string* header = request().Header("traceparent")) {
    parent_ = ParseTraceParent(*header);
  }
  trace_ = NewSpan(parent_);
  const std::string* given = request().Header("x-request-id");
  id_ = given != nullptr && IsRequestId(*given) ? *given : RandomId("req_");
  record_.time = arrival_;
  record_.request_id = id_;
  record_.peer = request().peer;
  record_.method = request().method;
  record_.path = request().path;
  record_.trace_id = trace_.trace_id;
}

ApiCall::~ApiCall() {
  const absl::Time end = absl::Now();
  record_.duration = end - arrival_;
  record_.gone = !finished_;
  if (record_.status == 0) record_.status = 499;
  log_->Write(record_);
  if (spans_ != nullptr && trace_.sampled) {
    TellSpans(SpanOf(end), times_, spans_);
  }
}

Span ApiCall::SpanOf(absl::Time end) const {
  Span span;
  span.context = trace_;
  if (parent_.has_value()) span.parent_id = parent_->span_id;
  span.name = absl::StrCat(record_.method, " ", record_.path);
  span.serves = true;
  span.start = arrival_;
  span.end = end;
  span.error = record_.gone ? "client_left" : record_.error;
  span.attributes = {{"http.request.method", record_.method},
                     {"url.path", record_.path},
                     {"http.response.status_code", int64_t{record_.status}},
                     {"facet.request_id", record_.request_id}};
  if (record_.prompt_tokens >= 0) {
    span.attributes.emplace_back("gen_ai.usage.input_tokens",
                                 record_.prompt_tokens);
    span.attributes.emplace_back("gen_ai.usage.output_tokens",
                                 record_.completion_tokens);
  }
  return span;
}

void ApiCall::AddHeaders(HttpResponse* response) const {
  response->headers.push_back({"x-request-id", id_});
  response->headers.push_back({"traceresponse", FormatTraceParent(trace_)});
  if (again_) response->headers.push_back({"idempotent-replayed", "true"});
  const std::string* origin = request().Header("origin");
  if (origin == nullptr || allowed_origins_->empty()) return;
  response->headers.push_back({"Vary", "Origin"});
  for (const std::string& allowed : *allowed_origins_) {
    if (allowed != "*" && allowed != *origin) continue;
    response->headers.push_back(
        {"Access-Control-Allow-Origin", allowed == "*" ? "*" : *origin});
    response->headers.push_back(
        {"Access-Control-Expose-Headers",
         "x-request-id, retry-after, idempotent-replayed"});
    return;
  }
}

void ApiCall::SetPass(std::shared_ptr<const DoorPass> pass) {
  pass_ = std::move(pass);
  const std::lock_guard<std::mutex> lock(mutex_);
  record_.key = pass_->key_name();
}

void ApiCall::SetKey(RequestKey key) {
  created_ = key.begun.value_or(arrival_);
  key_ = std::move(key);
}

std::string ApiCall::NewId(absl::string_view prefix) {
  return key_.has_value() ? KeyedId(prefix, *key_, ids_++) : RandomId(prefix);
}

void ApiCall::Respond(HttpResponse response) {
  AddHeaders(&response);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished_ = !exchange_->gone();
    record_.status = finished_ ? response.status : 499;
  }
  exchange_->Respond(std::move(response));
}

void ApiCall::RespondJson(const ApiJson& body) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = PrintApiJson(body);
  Respond(std::move(response));
}

void ApiCall::Fail(const absl::Status& status) {
  NoteError(status);
  Respond(ResponseOf(status));
}

void ApiCall::StartEvents() {
  HttpResponse head = EventStreamHead();
  AddHeaders(&head);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    record_.status = head.status;
    record_.streamed = true;
  }
  exchange_->StartStream(std::move(head));
}

bool ApiCall::Send(const std::string& events) {
  return events.empty() || exchange_->Write(events, at_once_);
}

void ApiCall::NoteError(const absl::Status& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record_.error = ErrorOf(status).code;
}

void ApiCall::Finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished_ = !exchange_->gone();
  }
  exchange_->Finish();
}

void ApiCall::NoteUsage(int64_t prompt_tokens, int64_t completion_tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record_.prompt_tokens = prompt_tokens;
  record_.completion_tokens = completion_tokens;
}

void ApiCall::NoteTimes(const Usage& usage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  times_.Note(usage);
}

ApiJson ApiCall::TimingsJson() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ApiJson json;
  json["queue_ms"] = 1000 * times_.queue_s;
  json["first_token_ms"] = 1000 * times_.first_token_s;
  json["tokens_per_second"] = times_.tokens_per_s;
  json["total_ms"] = absl::ToDoubleMilliseconds(absl::Now() - arrival_);
  return json;
}

void ApiCall::OnGone(std::function<void()> callback) {
  exchange_->OnGone(std::move(callback));
}

}  // namespace facet
