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
                 const std::vector<std::string>* allowed_origins)
    : exchange_(std::move(exchange)),
      log_(log),
      allowed_origins_(allowed_origins),
      arrival_(absl::Now()) {
  const std::string* given = request().Header("x-request-id");
  id_ = given != nullptr && IsRequestId(*given) ? *given : RandomId("req_");
  record_.time = arrival_;
  record_.request_id = id_;
  record_.peer = request().peer;
  record_.method = request().method;
  record_.path = request().path;
}

ApiCall::~ApiCall() {
  record_.duration = absl::Now() - arrival_;
  record_.gone = !finished_;
  if (record_.status == 0) record_.status = 499;
  log_->Write(record_);
}

void ApiCall::AddHeaders(HttpResponse* response) const {
  response->headers.push_back({"x-request-id", id_});
  const std::string* origin = request().Header("origin");
  if (origin == nullptr || allowed_origins_->empty()) return;
  response->headers.push_back({"Vary", "Origin"});
  for (const std::string& allowed : *allowed_origins_) {
    if (allowed != "*" && allowed != *origin) continue;
    response->headers.push_back(
        {"Access-Control-Allow-Origin", allowed == "*" ? "*" : *origin});
    response->headers.push_back(
        {"Access-Control-Expose-Headers", "x-request-id, retry-after"});
    return;
  }
}

void ApiCall::SetPass(std::shared_ptr<const DoorPass> pass) {
  pass_ = std::move(pass);
  const std::lock_guard<std::mutex> lock(mutex_);
  record_.key = pass_->key_name();
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
  return events.empty() || exchange_->Write(events);
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

void ApiCall::OnGone(std::function<void()> callback) {
  exchange_->OnGone(std::move(callback));
}

}  // namespace facet
