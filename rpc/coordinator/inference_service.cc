#include "rpc/coordinator/inference_service.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/chat_convert.h"
#include "rpc/convert/grpc_status.h"
#include "rpc/convert/text_convert.h"
#include "rpc/coordinator/call_notes.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/openai/tool_call_form.h"
#include "rpc/proto/inference.grpc.pb.h"

namespace facet {
namespace {

void TellWait(const absl::Status& status,
              grpc::CallbackServerContext* context) {
  const auto wait = RetryAfter(status);
  if (!wait.has_value()) return;
  context->AddTrailingMetadata(
      "grpc-retry-pushback-ms",
      std::to_string(absl::ToInt64Milliseconds(*wait)));
}

// What an event weighs while it waits for its reader, about.
size_t UnreadBytes(const TextEvent& event) {
  size_t bytes = 2 * event.text.size();
  for (const SampledToken& token : event.tokens) {
    bytes += 16 + 12 * token.top.size();
  }
  for (const PromptLogprob& token : event.prompt_logprobs) {
    bytes += 16 + 12 * token.top.size();
  }
  return bytes;
}

// A request that was understood, and how its answers are told.
template <typename Response>
struct Work {
  GenerateRequest request;
  std::optional<RequestKey> key;
  std::function<void(const TextEvent& event, Response* response)> append;
};

// The answers of one request on their way to its client. Events of an answer
// that come while a write is on its way gather in one response.
//
// Lives until gRPC calls OnDone(), which is after Finish(), which is after the
// engine's last event. Once mutex_ is let go with finishing_ set, another
// thread may be deleting this.
template <typename Response>
class AnswerWriter : public grpc::ServerWriteReactor<Response> {
 public:
  // `pass` is kept as long as the request runs; null where none is needed.
  AnswerWriter(grpc::CallbackServerContext* context,
               const FrontDoor* front_door,
               const InferenceServiceOptions& options, const char* method,
               std::shared_ptr<const DoorPass> pass,
               absl::StatusOr<Work<Response>> work)
      : options_(options),
        pass_(std::move(pass)),
        notes_(context, method, pass_.get(), options.spans, options.log),
        most_unread_bytes_(options.max_unread_bytes) {
    const absl::StatusOr<RequestRun> run = Begin(front_door, std::move(work));
    if (!run.ok()) {
      TellWait(run.status(), context);
      const grpc::Status refusal = ToGrpc(run.status());
      notes_.End(refusal);
      this->Finish(refusal);
      return;
    }
    // gRPC calls nothing of this before the constructor has returned; the
    // engine does.
    const std::lock_guard<std::mutex> lock(mutex_);
    leave_ = run->leave;
    if (too_slow_) leave_();
  }

  void OnCancel() override {
    if (leave_) leave_();
  }

  void OnWriteDone(bool ok) override {
    Next next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      writing_ = false;
      if (!ok && !broken_) {
        broken_ = true;
        leave_();
      }
      next = Decide();
    }
    Do(next);
  }

  void OnDone() override { delete this; }

 private:
  struct Next {
    bool write = false;
    bool finish = false;
    grpc::Status status;
  };

  absl::StatusOr<RequestRun> Begin(const FrontDoor* front_door,
                                   absl::StatusOr<Work<Response>> work) {
    FACET_RETURN_IF_ERROR(work.status());
    append_ = std::move(work->append);
    std::vector<GenerateRequest> requests;
    requests.push_back(std::move(work->request));
    return StartRun(
        front_door, options_.ledger, work->key ? &*work->key : nullptr,
        std::move(requests), pass_,
        [this](size_t, TextEvent event) { Take(std::move(event)); });
  }

  // On the engine's thread.
  void Take(TextEvent event) {
    Next next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      unread_bytes_ += UnreadBytes(event);
      notes_.Note(event);
      if (event.again) most_unread_bytes_ += UnreadBytes(event);
      if (unread_bytes_ > most_unread_bytes_ && !too_slow_) {
        too_slow_ = true;
        if (leave_) leave_();
      }
      if (event.status.ok()) {
        const auto [place, fresh] = place_of_.try_emplace(
            event.index, static_cast<int>(gathered_.size()));
        if (fresh) gathered_.emplace_back();
        append_(event, &gathered_[place->second]);
      } else {
        final_status_ = event.status;
      }
      ended_ |= event.done;
      next = Decide();
    }
    Do(next);
  }

  // What to do once mutex_, held now, is let go.
  Next Decide() {
    Next next;
    if (writing_ || finishing_) return next;
    if (outgoing_.empty() && !gathered_.empty()) {
      outgoing_.swap(gathered_);
      place_of_.clear();
      unread_bytes_ = 0;
    }
    if (!outgoing_.empty() && !too_slow_ && !broken_) {
      next.write = writing_ = true;
      writing_response_ = std::move(outgoing_.front());
      outgoing_.pop_front();
    } else if (ended_) {
      next.finish = finishing_ = true;
      next.status = ToGrpc(too_slow_ ? TooSlow() : final_status_);
      notes_.End(next.status);
    }
    return next;
  }

  // Outside of mutex_, since gRPC may run its callbacks before it returns.
  void Do(const Next& next) {
    if (next.write) this->StartWrite(&writing_response_);
    if (next.finish) this->Finish(next.status);
  }

  absl::Status TooSlow() const {
    return absl::ResourceExhaustedError(
        absl::StrCat("the answer was not read in time: more than ",
                     options_.max_unread_bytes, " bytes of it were waiting"));
  }

  const InferenceServiceOptions options_;
  const std::shared_ptr<const DoorPass> pass_;
  CallNotes notes_;
  std::function<void(const TextEvent& event, Response* response)> append_;

  std::mutex mutex_;
  std::function<void()> leave_;  // set before gRPC calls anything
  // One response an answer that had events since the last ones went out.
  std::deque<Response> gathered_;
  absl::flat_hash_map<int, int> place_of_;  // in gathered_, by answer
  size_t unread_bytes_ = 0;                 // of gathered_
  size_t most_unread_bytes_;
  std::deque<Response> outgoing_;  // to be written, in order
  Response writing_response_;
  bool writing_ = false;
  bool too_slow_ = false;
  bool broken_ = false;  // the client is gone
  bool ended_ = false;   // every answer's last event has come
  bool finishing_ = false;
  absl::Status final_status_;
};

class InferenceService : public v1::Inference::CallbackService {
 public:
  InferenceService(const FrontDoor* front_door,
                   const InferenceServiceOptions& options)
      : front_door_(front_door), options_(options) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context,
      const v1::GenerateRequest* request) override {
    return Answer<v1::GenerateResponse>(
        context, "Generate", *request, *request,
        [&](const RequestKey*) { return Prepare(FromProto(*request)); });
  }

  grpc::ServerWriteReactor<v1::ChatResponse>* Chat(
      grpc::CallbackServerContext* context,
      const v1::ChatRequest* request) override {
    return Answer<v1::ChatResponse>(
        context, "Chat", *request, request->options(),
        [&](const RequestKey* key) { return PrepareChat(*request, key); });
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override {
    const absl::Status known = CheckKey(context);
    if (!known.ok()) return Reply(context, known);
    EncodeOptions options;
    options.parse_special = request->parse_special();
    const absl::StatusOr<std::vector<int32_t>> ids =
        front_door_->model().tokenizer->Encode(request->text(), options);
    if (ids.ok()) {
      response->mutable_ids()->Add(ids->begin(), ids->end());
    }
    return Reply(context, Annotated(ids.status(), "text"));
  }

  grpc::ServerUnaryReactor* Detokenize(
      grpc::CallbackServerContext* context,
      const v1::DetokenizeRequest* request,
      v1::DetokenizeResponse* response) override {
    const absl::Status known = CheckKey(context);
    if (!known.ok()) return Reply(context, known);
    const std::vector<int32_t> ids(request->ids().begin(),
                                   request->ids().end());
    const absl::StatusOr<std::string> text =
        front_door_->model().tokenizer->Decode(ids, request->skip_special());
    if (text.ok()) response->set_text(*text);
    return Reply(context, Annotated(text.status(), "ids"));
  }

  grpc::ServerUnaryReactor* ModelInfo(
      grpc::CallbackServerContext* context, const v1::ModelInfoRequest*,
      v1::ModelInfoResponse* response) override {
    const absl::Status known = CheckKey(context);
    if (!known.ok()) return Reply(context, known);
    *response = ToProto(front_door_->Info());
    return Reply(context, absl::OkStatus());
  }

 private:
  // `prepare` gives the work of a call of `method` that may come in. `options`
  // are the part of `request` that has its key.
  template <typename Response, typename Request, typename Preparation>
  grpc::ServerWriteReactor<Response>* Answer(
      grpc::CallbackServerContext* context, const char* method,
      const Request& request, const v1::GenerateRequest& options,
      const Preparation& prepare) {
    std::shared_ptr<const DoorPass> pass;
    const auto admit_and_prepare = [&]() -> absl::StatusOr<Work<Response>> {
      FACET_RETURN_IF_ERROR(Admit(context, &pass));
      FACET_ASSIGN_OR_RETURN(std::optional<RequestKey> key,
                             KeyOf(request, options.request_key(), pass.get()));
      FACET_ASSIGN_OR_RETURN(Work<Response> work,
                             prepare(key.has_value() ? &*key : nullptr));
      work.key = std::move(key);
      return work;
    };
    absl::StatusOr<Work<Response>> work = admit_and_prepare();
    return new AnswerWriter<Response>(context, front_door_, options_, method,
                                      std::move(pass), std::move(work));
  }

  absl::StatusOr<std::optional<RequestKey>> KeyOf(
      const google::protobuf::Message& request, const std::string& given,
      const DoorPass* pass) const {
    if (given.empty() || options_.ledger == nullptr) return std::nullopt;
    FACET_RETURN_IF_ERROR(CheckRequestKey(given, "request_key"));
    RequestKey key;
    key.key = given;
    if (pass != nullptr) key.owner = pass->key_name();
    // The same fields give the same bytes: there are no maps among them, and
    // fields that are not known here stay as they came.
    key.body = RequestDigest(
        {request.GetDescriptor()->full_name(), request.SerializeAsString()});
    return key;
  }

  absl::StatusOr<Work<v1::GenerateResponse>> Prepare(
      const TextRequest& request) const {
    const bool logprobs = Logprobs(request);
    Work<v1::GenerateResponse> work;
    FACET_ASSIGN_OR_RETURN(work.request, front_door_->Prepare(request));
    work.append = [logprobs](const TextEvent& event,
                             v1::GenerateResponse* response) {
      AppendToProto(event, logprobs, response);
    };
    return work;
  }

  absl::StatusOr<Work<v1::ChatResponse>> PrepareChat(
      const v1::ChatRequest& request, const RequestKey* key) const {
    FACET_ASSIGN_OR_RETURN(const ChatCall call, FromProto(request));
    const bool logprobs = Logprobs(call.text);
    const Tokenizer* const tokenizer = front_door_->model().tokenizer.get();
    Work<v1::ChatResponse> work;
    FACET_ASSIGN_OR_RETURN(work.request, front_door_->Prepare(call.text));
    LimitCalls(call.tools, *tokenizer, &work.request);
    auto answers = std::make_shared<ChatAnswers>(tokenizer, work.request,
                                                 call.tools.declared(), key);
    work.append = [answers, logprobs](const TextEvent& event,
                                      v1::ChatResponse* response) {
      answers->AppendToProto(event, logprobs, response);
    };
    return work;
  }

  static bool Logprobs(const TextRequest& request) {
    return request.sampling.logprobs || request.sampling.top_logprobs > 0;
  }

  absl::Status Admit(const grpc::CallbackServerContext* context,
                     std::shared_ptr<const DoorPass>* pass) const {
    if (options_.keeper == nullptr) return absl::OkStatus();
    FACET_ASSIGN_OR_RETURN(
        *pass, options_.keeper->Admit(Metadata(context, "authorization"),
                                      absl::Now()));
    return absl::OkStatus();
  }

  // Of calls that count against no limit.
  absl::Status CheckKey(const grpc::CallbackServerContext* context) const {
    return options_.keeper == nullptr
               ? absl::OkStatus()
               : options_.keeper->Check(Metadata(context, "authorization"));
  }

  static absl::Status Annotated(const absl::Status& status,
                                absl::string_view field) {
    return status.ok()
               ? status
               : absl::Status(status.code(),
                              absl::StrCat(field, ": ", status.message()));
  }

  static grpc::ServerUnaryReactor* Reply(grpc::CallbackServerContext* context,
                                         const absl::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(status));
    return reactor;
  }

  const FrontDoor* const front_door_;
  const InferenceServiceOptions options_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(
    const FrontDoor* front_door, const InferenceServiceOptions& options) {
  return std::make_unique<InferenceService>(front_door, options);
}

}  // namespace facet
