#include "rpc/coordinator/inference_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/access/file_watch.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

constexpr int kMaxRequestBytes = 64 << 20;
constexpr unsigned int kReloadSeconds = 1;

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const TlsFiles& files) {
  if (!files.used()) return grpc::InsecureServerCredentials();
  namespace tls = grpc::experimental;
  std::vector<std::string> paths = {files.certificate, files.key};
  if (!files.client_ca.empty()) paths.push_back(files.client_ca);
  FACET_RETURN_IF_ERROR(ReadFiles(paths).status());
  const auto provider =
      files.client_ca.empty()
          ? std::make_shared<tls::FileWatcherCertificateProvider>(
                files.key, files.certificate, kReloadSeconds)
          : std::make_shared<tls::FileWatcherCertificateProvider>(
                files.key, files.certificate, files.client_ca, kReloadSeconds);
  tls::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  if (files.client_ca.empty()) {
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  } else {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

class Server : public InferenceServer {
 public:
  Server(const FrontDoor* front_door, const InferenceServiceOptions& options)
      : service_(MakeInferenceService(front_door, options)) {}

  ~Server() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen(const std::string& address, const TlsFiles& tls) {
    FACET_ASSIGN_OR_RETURN(const auto credentials, MakeCredentials(tls));
    FACET_RETURN_IF_ERROR(CheckCanListen(address));
    FACET_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(address));
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    // Two servers on one port would share its clients at random.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
    builder.AddListeningPort(address, credentials, &host_port.port);
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
    const InferenceServiceOptions& options, const TlsFiles& tls) {
  auto server = std::make_unique<Server>(front_door, options);
  FACET_RETURN_IF_ERROR(server->Listen(address, tls));
  return server;
}

}  // namespace facet
