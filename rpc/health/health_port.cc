#include "rpc/health/health_port.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

constexpr char kLiveness[] = "liveness";
constexpr char kReadiness[] = "readiness";
constexpr std::chrono::milliseconds kTick(100);

class Port : public HealthPort {
 public:
  ~Port() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    if (watcher_.joinable()) watcher_.join();
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_->Wait();
  }

  absl::Status Listen(const std::string& address) {
    FACET_RETURN_IF_ERROR(CheckCanListen(address));
    FACET_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(address));
    grpc::EnableDefaultHealthCheckService(true);
    // The health service alone has no queue that gRPC polls: it would not
    // start.
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(),
                             &host_port.port);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || host_port.port == 0 ||
        server_->GetHealthCheckService() == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
    }
    address_ = ToString(host_port);
    Tell(kLiveness, true);
    SetReady(false);
    watcher_ = std::thread([this] { WatchBeats(); });
    return absl::OkStatus();
  }

  std::string address() const override { return address_; }

  void SetReady(bool ready) override {
    Tell("", ready);
    Tell(kReadiness, ready);
  }

  void Beat(absl::Duration limit) override {
    std::lock_guard<std::mutex> lock(mutex_);
    next_beat_ = absl::Now() + limit;
  }

 private:
  void Tell(const char* name, bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(name, serving);
  }

  void WatchBeats() {
    std::unique_lock<std::mutex> lock(mutex_);
    bool alive = true;
    while (!stopping_) {
      if (alive != (absl::Now() <= next_beat_)) {
        alive = !alive;
        Tell(kLiveness, alive);
      }
      changed_.wait_for(lock, kTick, [this] { return stopping_; });
    }
  }

  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  absl::Time next_beat_ = absl::InfiniteFuture();
  std::thread watcher_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HealthPort>> HealthPort::Start(
    const std::string& address) {
  auto port = std::make_unique<Port>();
  FACET_RETURN_IF_ERROR(port->Listen(address));
  return port;
}

}  // namespace facet
