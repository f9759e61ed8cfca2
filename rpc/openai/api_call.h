// One request to the API on its way: its id, its answer, and what it leaves in
// the access log and in a trace. Every answer of the API leaves through here.
#ifndef FACET_RPC_OPENAI_API_CALL_H_
#define FACET_RPC_OPENAI_API_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/access/access_log.h"
#include "rpc/access/door_keeper.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/request_key.h"
#include "rpc/http/http_exchange.h"
#include "rpc/openai/api_json.h"
#include "rpc/trace/call_spans.h"
#include "rpc/trace/span_exporter.h"
#include "rpc/trace/trace_context.h"

namespace facet {

// Threads may take turns with one.
class ApiCall {
 public:
  // `log` and `allowed_origins` outlive the call. Answers to browsers of these
  // origins ("*": any) say that they may read them.
  // `spans` gets the call's spans and outlives it; null: nobody does.
  ApiCall(std::shared_ptr<HttpExchange> exchange, AccessLog* log,
          const std::vector<std::string>* allowed_origins,
          SpanSink* spans = nullptr);
  // Writes the line and ends the spans.
  ~ApiCall();
  ApiCall(const ApiCall&) = delete;
  ApiCall& operator=(const ApiCall&) = delete;

  const HttpRequest& request() const { return exchange_->request(); }
  // The client's own x-request-id where it is one, otherwise a new one.
  const std::string& id() const { return id_; }

  // Who was let in; kept until the call's end.
  void SetPass(std::shared_ptr<const DoorPass> pass);
  const std::shared_ptr<const DoorPass>& pass() const { return pass_; }

  // The request's own key: before the answer begins. Ids in it then follow from
  // the key, and it was created when the request was first asked for.
  void SetKey(RequestKey key);
  const RequestKey* key() const { return key_.has_value() ? &*key_ : nullptr; }
  // The answer is one that was begun for an earlier call, and says so.
  void SetAgain() { again_ = true; }
  // What Send() sends from now on came all at once; see HttpExchange::Write().
  void SetAtOnce(bool at_once) { at_once_ = at_once; }

  // An id for something in the answer, "PREFIX" and 24 hexadecimal digits.
  std::string NewId(absl::string_view prefix);
  // Of the answer, in Unix seconds.
  int64_t created() const { return absl::ToUnixSeconds(created_); }

  // A whole answer.
  void Respond(HttpResponse response);
  void RespondJson(const ApiJson& body);
  void Fail(const absl::Status& status);

  // A stream of server-sent events. Send() is false once nobody listens.
  void StartEvents();
  bool Send(const std::string& events);
  // Notes what went wrong in the midst of a stream; the caller says it.
  void NoteError(const absl::Status& status);
  void Finish();

  void NoteUsage(int64_t prompt_tokens, int64_t completion_tokens);
  // Of one answer of the call, once it has ended.
  void NoteTimes(const Usage& usage);
  // {"queue_ms", "first_token_ms", "tokens_per_second", "total_ms"} so far.
  ApiJson TimingsJson();
  // See HttpExchange.
  void OnGone(std::function<void()> callback);

 private:
  void AddHeaders(HttpResponse* response) const;
  Span SpanOf(absl::Time end) const;

  const std::shared_ptr<HttpExchange> exchange_;
  AccessLog* const log_;
  const std::vector<std::string>* const allowed_origins_;
  SpanSink* const spans_;
  const absl::Time arrival_;
  std::optional<TraceContext> parent_;
  TraceContext trace_;
  std::string id_;
  std::shared_ptr<const DoorPass> pass_;
  std::optional<RequestKey> key_;
  absl::Time created_;
  int ids_ = 0;  // that follow from the key
  bool again_ = false;
  bool at_once_ = false;

  std::mutex mutex_;
  AccessRecord record_;
  CallTimes times_;
  bool finished_ = false;
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_API_CALL_H_
