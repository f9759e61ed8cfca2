#include "rpc/worker/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_convert.h"
#include "rpc/proto/control.grpc.pb.h"

namespace facet {
namespace {

class GrpcCoordinatorLink : public CoordinatorLink {
 public:
  explicit GrpcCoordinatorLink(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)),
        stub_(v1::WorkerControl::NewStub(channel_)),
        stream_(stub_->Join(&context_)) {}

  ~GrpcCoordinatorLink() override {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }

  bool Send(const WorkerMessage& message) override {
    const v1::WorkerMessage proto = ToProto(message);
    std::lock_guard<std::mutex> lock(sending_);
    return !sent_all_ && stream_->Write(proto);
  }

  absl::StatusOr<CoordinatorMessage> Read() override {
    if (!finished_ && stream_->Read(&incoming_)) return FromProto(incoming_);
    if (!finished_) {
      const grpc::Status status = stream_->Finish();
      finished_ = true;
      end_ =
          status.ok()
              ? absl::UnavailableError("the coordinator ended the stream")
              : absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                             status.error_message());
    }
    return end_;
  }

  void FinishSending() override {
    std::lock_guard<std::mutex> lock(sending_);
    if (!sent_all_) stream_->WritesDone();
    sent_all_ = true;
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerControl::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>>
      stream_;
  std::mutex sending_;
  bool sent_all_ = false;
  // Of the reading thread.
  v1::CoordinatorMessage incoming_;
  bool finished_ = false;
  absl::Status end_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorLink>> ConnectToCoordinator(
    const std::string& address, const TrustFiles& trust, absl::Time deadline,
    const std::function<bool()>& give_up) {
  FACET_ASSIGN_OR_RETURN(const auto credentials, WorkerCredentials(trust));
  grpc::ChannelArguments arguments;
  // The certificate is the coordinator's, whatever its address.
  if (!trust.empty()) arguments.SetSslTargetNameOverride(kCoordinatorName);
  // Workers talk to their coordinator directly, whatever http_proxy says.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kMaxCoordinatorMessageBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Of one attempt, whose packets may be lost: the next one finds the network
  // mended.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  while (true) {
    const absl::Time slice =
        std::min(deadline, absl::Now() + absl::Milliseconds(500));
    if (channel->WaitForConnected(absl::ToChronoTime(slice))) break;
    if (give_up()) return absl::CancelledError("told to leave");
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("cannot reach coordinator at ", address,
                       trust.empty() ? ""
                                     : ", or it does not trust this "
                                       "worker's certificate"));
    }
  }
  return std::make_unique<GrpcCoordinatorLink>(std::move(channel));
}

}  // namespace facet
