#include "rpc/control/control_server.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"
#include "rpc/convert/control_convert.h"
#include "rpc/proto/control.grpc.pb.h"

namespace facet {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

// One Join stream. gRPC's callback interface: nothing here waits, so one slow
// worker delays nobody. It was also no slower per step than the blocking one
// (control_benchmark.cc has the figures).
//
// Lives until gRPC is done with it and nobody holds it as a WorkerLink.
class JoinStream
    : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>,
      public WorkerLink {
 public:
  static std::shared_ptr<JoinStream> Open(grpc::CallbackServerContext* context,
                                          WorkerEvents* events) {
    auto stream = std::shared_ptr<JoinStream>(new JoinStream(context, events));
    stream->self_ = stream;
    stream->StartRead(&stream->incoming_);
    return stream;
  }

  // Operations start outside of mutex_, since gRPC may run their callbacks
  // before it returns. Until its write is done a message stays in outgoing_, so
  // nobody finishes the stream in between.
  void Send(const CoordinatorMessage& message) override {
    v1::CoordinatorMessage proto = ToProto(message);
    v1::CoordinatorMessage* first = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closing_ || broken_) return;
      outgoing_.push_back(std::move(proto));
      if (outgoing_.size() == 1) first = &outgoing_.front();
    }
    if (first != nullptr) StartWrite(first);
  }

  void Close(const absl::Status& status) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!closing_) final_status_ = ToGrpc(status);
      closing_ = true;
    }
    FinishWhenIdle();
  }

  void Cancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    // The context is gone once OnDone() has run.
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  JoinStream(grpc::CallbackServerContext* context, WorkerEvents* events)
      : context_(context), events_(events) {}

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The worker said all it had to say, or is gone.
      Close(absl::OkStatus());
      return;
    }
    const absl::Status accepted = Accept();
    if (!accepted.ok()) {
      Send(WorkerRefused{accepted});
      Close(accepted);
    }
    StartRead(&incoming_);
  }

  absl::Status Accept() {
    FACET_ASSIGN_OR_RETURN(WorkerMessage message, FromProto(incoming_));
    if (member_ >= 0) {
      events_->OnMessage(member_, std::move(message));
      return absl::OkStatus();
    }
    if (refused_) return absl::OkStatus();
    auto* registration = std::get_if<WorkerRegistration>(&message);
    if (registration == nullptr) {
      return absl::InvalidArgumentError("a worker's first message is Register");
    }
    const absl::StatusOr<int> member =
        events_->OnRegister(std::move(*registration), self_);
    refused_ = !member.ok();
    FACET_RETURN_IF_ERROR(member.status());
    member_ = *member;
    return absl::OkStatus();
  }

  void OnWriteDone(bool ok) override {
    v1::CoordinatorMessage* next = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      outgoing_.pop_front();
      if (!ok) {
        broken_ = true;
        outgoing_.clear();
      }
      if (!outgoing_.empty()) next = &outgoing_.front();
    }
    if (next != nullptr) {
      StartWrite(next);
    } else {
      FinishWhenIdle();
    }
  }

  void FinishWhenIdle() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!closing_ || finished_ || !outgoing_.empty()) return;
      finished_ = true;
    }
    Finish(final_status_);
  }

  void OnDone() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      broken_ = true;
      context_ = nullptr;
    }
    if (member_ >= 0) events_->OnGone(member_, absl::OkStatus());
    self_.reset();  // may delete this
  }

  std::mutex mutex_;
  grpc::CallbackServerContext* context_;
  std::deque<v1::CoordinatorMessage> outgoing_;  // front: being written
  bool closing_ = false;
  bool broken_ = false;
  bool finished_ = false;
  grpc::Status final_status_;

  // Used by the reading callbacks alone, which come one after the other.
  WorkerEvents* events_;
  v1::WorkerMessage incoming_;
  int member_ = -1;
  bool refused_ = false;
  std::shared_ptr<JoinStream> self_;
};

class JoinService : public v1::WorkerControl::CallbackService {
 public:
  explicit JoinService(WorkerEvents* events) : events_(events) {}

  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* Join(
      grpc::CallbackServerContext* context) override {
    return JoinStream::Open(context, events_).get();
  }

 private:
  WorkerEvents* events_;
};

class GrpcControlServer : public ControlServer {
 public:
  explicit GrpcControlServer(WorkerEvents* events) : service_(events) {}
  ~GrpcControlServer() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen(const std::string& address, const TrustFiles& trust) {
    FACET_ASSIGN_OR_RETURN(const auto credentials,
                           CoordinatorCredentials(trust));
    const bool local = absl::StartsWith(address, "unix");
    if (!local) FACET_RETURN_IF_ERROR(CheckCanListen(address));
    grpc::ServerBuilder builder;
    // Two servers on one port would each get some of the workers.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(kMaxWorkerMessageBytes);
    int port = 0;
    builder.AddListeningPort(address, credentials, &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (port == 0 && !local)) {
      server_ = nullptr;
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
    }
    address_ = address;
    if (!local) {
      FACET_ASSIGN_OR_RETURN(HostPort parsed, ParseHostPort(address));
      parsed.port = port;
      address_ = ToString(parsed);
    }
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void Shutdown(absl::Duration grace) override {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_ = nullptr;
  }

 private:
  JoinService service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(
    const std::string& address, WorkerEvents* events, const TrustFiles& trust) {
  auto server = std::make_unique<GrpcControlServer>(events);
  FACET_RETURN_IF_ERROR(server->Listen(address, trust));
  return server;
}

}  // namespace facet
