#include "rpc/coordinator/inference_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

constexpr int kMaxRequestBytes = 64 << 20;

class Server : public InferenceServer {
 public:
  Server(const FrontDoor* front_door, const InferenceServiceOptions& options)
      : service_(MakeInferenceService(front_door, options)) {}

  ~Server() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen(const std::string& address) {
    FACET_RETURN_IF_ERROR(CheckCanListen(address));
    FACET_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(address));
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    // Two servers on one port would share its clients at random.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(),
                             &host_port.port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || host_port.port == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
    }
    address_ = ToString(host_port);
    SetServing(true);
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void SetServing(bool serving) override {
    grpc::HealthCheckServiceInterface* const health =
        server_->GetHealthCheckService();
    if (health == nullptr) return;
    health->SetServingStatus("", serving);
    health->SetServingStatus("facet.v1.Inference", serving);
  }

  void Shutdown(absl::Duration grace) override {
    if (server_ == nullptr || shut_down_) return;
    shut_down_ = true;
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  bool shut_down_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<InferenceServer>> InferenceServer::Start(
    const std::string& address, const FrontDoor* front_door,
    const InferenceServiceOptions& options) {
  auto server = std::make_unique<Server>(front_door, options);
  FACET_RETURN_IF_ERROR(server->Listen(address));
  return server;
}

}  // namespace facet
