// One request to the API on its way: its id, its answer, and the line it leaves
// in the access log. Every answer of the API leaves through here.
#ifndef FACET_RPC_OPENAI_API_CALL_H_
#define FACET_RPC_OPENAI_API_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/access/door_keeper.h"
#include "rpc/http/http_exchange.h"
#include "rpc/openai/access_log.h"
#include "rpc/openai/api_json.h"

namespace facet {

// Threads may take turns with one.
class ApiCall {
 public:
  // `log` and `allowed_origins` outlive the call. Answers to browsers of these
  // origins ("*": any) say that they may read them.
  ApiCall(std::shared_ptr<HttpExchange> exchange, AccessLog* log,
          const std::vector<std::string>* allowed_origins);
  // Writes the line.
  ~ApiCall();
  ApiCall(const ApiCall&) = delete;
  ApiCall& operator=(const ApiCall&) = delete;

  const HttpRequest& request() const { return exchange_->request(); }
  // The client's own x-request-id where it is one, otherwise a new one.
  const std::string& id() const { return id_; }

  // Who was let in; kept until the call's end.
  void SetPass(std::shared_ptr<const DoorPass> pass);

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
  // See HttpExchange.
  void OnGone(std::function<void()> callback);

 private:
  void AddHeaders(HttpResponse* response) const;

  const std::shared_ptr<HttpExchange> exchange_;
  AccessLog* const log_;
  const std::vector<std::string>* const allowed_origins_;
  const absl::Time arrival_;
  std::string id_;
  std::shared_ptr<const DoorPass> pass_;

  std::mutex mutex_;
  AccessRecord record_;
  bool finished_ = false;
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_API_CALL_H_
