#include "rpc/coordinator/inference_service.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "rpc/convert/text_convert.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/proto/inference.grpc.pb.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  // Messages travel as headers: they are cut, and have to be UTF-8.
  std::string message(status.message().substr(0, 1024));
  message.resize(ValidUtf8Prefix(message));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::move(message));
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

// The answers of one request on their way to its client. Events of an answer
// that come while a write is on its way gather in one response.
//
// Lives until gRPC calls OnDone(), which is after Finish(), which is after the
// engine's last event. Once mutex_ is let go with finishing_ set, another
// thread may be deleting this.
class GenerateStream : public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  GenerateStream(grpc::CallbackServerContext* context,
                 const FrontDoor* front_door,
                 const InferenceServiceOptions& options,
                 const v1::GenerateRequest& request)
      : engine_(&front_door->engine()), options_(options) {
    const TextRequest text_request = FromProto(request);
    logprobs_ = text_request.sampling.logprobs ||
                text_request.sampling.top_logprobs > 0;
    const absl::StatusOr<uint64_t> id = front_door->Generate(
        text_request, [this](TextEvent event) { Take(std::move(event)); });
    if (!id.ok()) {
      if (const auto wait = RetryAfter(id.status())) {
        context->AddTrailingMetadata(
            "grpc-retry-pushback-ms",
            std::to_string(absl::ToInt64Milliseconds(*wait)));
      }
      Finish(ToGrpc(id.status()));
      return;
    }
    // gRPC calls nothing of this before the constructor has returned; the
    // engine does.
    const std::lock_guard<std::mutex> lock(mutex_);
    id_ = *id;
    if (too_slow_) engine_->Cancel(*id_);
  }

  void OnCancel() override { engine_->Cancel(*id_); }

  void OnWriteDone(bool ok) override {
    Next next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      writing_ = false;
      if (!ok && !broken_) {
        broken_ = true;
        engine_->Cancel(*id_);
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

  // On the engine's thread.
  void Take(TextEvent event) {
    Next next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      unread_bytes_ += UnreadBytes(event);
      if (unread_bytes_ > options_.max_unread_bytes && !too_slow_) {
        too_slow_ = true;
        if (id_.has_value()) engine_->Cancel(*id_);
      }
      if (event.status.ok()) {
        const auto [place, fresh] = place_of_.try_emplace(
            event.index, static_cast<int>(gathered_.size()));
        if (fresh) gathered_.emplace_back();
        AppendToProto(event, logprobs_, &gathered_[place->second]);
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
      next.status = too_slow_ ? TooSlow() : ToGrpc(final_status_);
    }
    return next;
  }

  // Outside of mutex_, since gRPC may run its callbacks before it returns.
  void Do(const Next& next) {
    if (next.write) StartWrite(&writing_response_);
    if (next.finish) Finish(next.status);
  }

  grpc::Status TooSlow() const {
    return grpc::Status(
        grpc::StatusCode::RESOURCE_EXHAUSTED,
        absl::StrCat("the answer was not read in time: more than ",
                     options_.max_unread_bytes, " bytes of it were waiting"));
  }

  Engine* const engine_;
  const InferenceServiceOptions options_;
  bool logprobs_ = false;

  std::mutex mutex_;
  std::optional<uint64_t> id_;
  // One response an answer that had events since the last ones went out.
  std::deque<v1::GenerateResponse> gathered_;
  absl::flat_hash_map<int, int> place_of_;     // in gathered_, by answer
  size_t unread_bytes_ = 0;                    // of gathered_
  std::deque<v1::GenerateResponse> outgoing_;  // to be written, in order
  v1::GenerateResponse writing_response_;
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
    return new GenerateStream(context, front_door_, options_, *request);
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override {
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
    *response = ToProto(front_door_->Info());
    return Reply(context, absl::OkStatus());
  }

 private:
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
