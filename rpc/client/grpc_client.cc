#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/access/file_watch.h"
#include "rpc/client/client.h"
#include "rpc/control/listen_address.h"
#include "rpc/convert/text_convert.h"
#include "rpc/proto/inference.grpc.pb.h"

namespace facet {
namespace {

constexpr size_t kMaxStreams = 64;
constexpr int kMaxResponseBytes = 64 << 20;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

class GrpcClient : public Client {
 public:
  GrpcClient(std::shared_ptr<grpc::Channel> channel, std::string api_key)
      : stub_(v1::Inference::NewStub(std::move(channel))),
        api_key_(std::move(api_key)) {}

  absl::Status Generate(const std::vector<TextRequest>& requests,
                        const OnEvent& on_event) override {
    std::atomic<size_t> next = 0;
    std::mutex mutex;  // of on_event and first_error
    absl::Status first_error;
    const auto run_some = [&] {
      while (true) {
        const size_t index = next++;
        if (index >= requests.size()) return;
        const absl::Status status =
            GenerateOne(requests[index], [&](const TextEvent& event) {
              const std::lock_guard<std::mutex> lock(mutex);
              return first_error.ok() && on_event(index, event);
            });
        const std::lock_guard<std::mutex> lock(mutex);
        if (!status.ok() && first_error.ok()) first_error = status;
        if (!first_error.ok()) return;
      }
    };
    std::deque<std::thread> threads;
    while (threads.size() + 1 < std::min(kMaxStreams, requests.size())) {
      threads.emplace_back(run_some);
    }
    run_some();
    for (std::thread& thread : threads) thread.join();
    return first_error;
  }

  absl::StatusOr<ModelInfo> Info() override {
    grpc::ClientContext context;
    ShowKey(&context);
    v1::ModelInfoResponse response;
    const grpc::Status status =
        stub_->ModelInfo(&context, v1::ModelInfoRequest(), &response);
    if (!status.ok()) return FromGrpc(status);
    return FromProto(response);
  }

 private:
  void ShowKey(grpc::ClientContext* context) const {
    if (api_key_.empty()) return;
    context->AddMetadata("authorization", absl::StrCat("Bearer ", api_key_));
  }

  absl::Status GenerateOne(
      const TextRequest& request,
      const std::function<bool(const TextEvent&)>& on_event) {
    grpc::ClientContext context;
    ShowKey(&context);
    const auto reader = stub_->Generate(&context, ToProto(request));
    v1::GenerateResponse response;
    bool cancelled = false;
    std::vector<bool> ended(std::max(1, request.n), false);
    size_t unfinished = ended.size();
    while (reader->Read(&response)) {
      if (cancelled) continue;
      TextEvent event = FromProto(response);
      if (event.index < 0 || event.index >= static_cast<int>(ended.size())) {
        context.TryCancel();
        return absl::DataLossError(absl::StrCat(
            "the server sent answer ", event.index, " of ", ended.size()));
      }
      if (event.finish != FinishReason::kNone && !ended[event.index]) {
        ended[event.index] = true;
        event.done = --unfinished == 0;
      }
      if (!on_event(event)) {
        cancelled = true;
        context.TryCancel();
      }
    }
    const grpc::Status status = reader->Finish();
    if (cancelled) {
      for (size_t i = 0; i < ended.size(); ++i) {
        if (ended[i]) continue;
        TextEvent event;
        event.index = static_cast<int>(i);
        event.finish = FinishReason::kCancelled;
        event.done = --unfinished == 0;
        on_event(event);
      }
      return absl::OkStatus();
    }
    if (!status.ok()) return FromGrpc(status);
    if (unfinished > 0) {
      return absl::DataLossError("the server ended an answer without a reason");
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<v1::Inference::Stub> stub_;
  const std::string api_key_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientCredentials& from) {
  if (from.certificate.empty() != from.key.empty()) {
    return absl::InvalidArgumentError(
        "a certificate and its key: give both, or neither");
  }
  if (from.server_ca.empty()) {
    if (from.certificate.empty()) return grpc::InsecureChannelCredentials();
    return absl::InvalidArgumentError(
        "a certificate is only shown over TLS: name the server's authority "
        "too");
  }
  grpc::SslCredentialsOptions options;
  FACET_ASSIGN_OR_RETURN(const std::vector<std::string> roots,
                         ReadFiles({from.server_ca}));
  options.pem_root_certs = roots[0];
  if (!from.certificate.empty()) {
    FACET_ASSIGN_OR_RETURN(const std::vector<std::string> own,
                           ReadFiles({from.certificate, from.key}));
    options.pem_cert_chain = own[0];
    options.pem_private_key = own[1];
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> ConnectToServer(
    const std::string& address, absl::Duration timeout,
    const ClientCredentials& from) {
  FACET_RETURN_IF_ERROR(ParseHostPort(address).status());
  FACET_ASSIGN_OR_RETURN(const auto credentials, MakeCredentials(from));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
  // A server that is started again is found soon.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(address, credentials, arguments);
  if (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout))) {
    return absl::UnavailableError(
        absl::StrCat("no server answers at ", address));
  }
  return std::make_unique<GrpcClient>(std::move(channel), from.api_key);
}

}  // namespace facet
