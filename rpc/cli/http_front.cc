#include "rpc/cli/http_front.h"

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/cluster_json.h"
#include "rpc/cli/doctor/doctor_report.h"
#include "rpc/control/build_id.h"
#include "rpc/control/diagnosis.h"
#include "rpc/http/serving_routes.h"
#include "rpc/openai/api_error.h"
#include "rpc/page/page.h"

namespace facet {
namespace {

class HttpFrontImpl : public HttpFront {
 public:
  HttpFrontImpl(const HttpFrontOptions& options, AccessLog* log)
      : options_(options), log_(log) {}

  ~HttpFrontImpl() override {
    server_.reset();
    gateway_.reset();
  }

  absl::Status Listen() {
    gateway_ = Gateway::Create(options_.gateway, log_);
    FACET_ASSIGN_OR_RETURN(routes_, Routes());
    FACET_ASSIGN_OR_RETURN(
        server_,
        HttpServer::Start(
            options_.address,
            [this](const std::shared_ptr<HttpExchange>& one) { Handle(one); },
            options_.server));
    return absl::OkStatus();
  }

  void Serve(EmbeddedModel* model) override {
    gateway_->Serve(&model->front_door(), &model->ledger());
    model_.store(model);
  }

  void Shutdown(absl::Duration grace) override { server_->Shutdown(grace); }

  std::string address() const override { return server_->address(); }

 private:
  void Handle(const std::shared_ptr<HttpExchange>& exchange) {
    const HttpRequest& request = exchange->request();
    if (auto page = PageResponse(request)) {
      exchange->Respond(*std::move(page));
      return;
    }
    if (gateway_->Handle(exchange)) return;
    const absl::Status known = CheckKey(request);
    if (known.ok()) {
      routes_(exchange);
    } else {
      exchange->Respond(ResponseOf(known));
    }
  }

  absl::Status CheckKey(const HttpRequest& request) const {
    if (options_.gateway.keeper == nullptr || request.path == "/healthz" ||
        request.path == "/readyz" ||
        (options_.open_metrics && request.path == "/metrics")) {
      return absl::OkStatus();
    }
    const std::string* given = request.Header("authorization");
    return options_.gateway.keeper->Check(
        given == nullptr ? absl::string_view() : absl::string_view(*given));
  }

  // What an operator should know though all is well.
  static std::string NoteOn(EmbeddedModel& model) {
    std::vector<std::string> notes;
    std::string fewer = StandIns(model.cluster().condition());
    if (!fewer.empty()) notes.push_back(std::move(fewer));
    const absl::Status journal = model.journal() == nullptr
                                     ? absl::OkStatus()
                                     : model.journal()->state().health;
    if (!journal.ok()) {
      notes.push_back(absl::StrCat("the journal is suspended: ",
                                   std::string(journal.message())));
    }
    return absl::StrJoin(notes, "\n");
  }

  absl::StatusOr<HttpHandler> Routes() {
    ServingRoutesOptions routes;
    routes.metrics = [this] {
      EmbeddedModel* const model = model_.load();
      return model == nullptr ? std::string() : model->MetricsText();
    };
    routes.cluster = [this] {
      EmbeddedModel* const model = model_.load();
      return model == nullptr
                 ? std::string()
                 : ClusterJson(model->cluster(), model->front_door().Info(),
                               options_.numerics);
    };
    routes.doctor = [this] {
      EmbeddedModel* const model = model_.load();
      if (model != nullptr) return DoctorJson(model->cluster().condition());
      const std::optional<ClusterCondition> forming =
          options_.forming == nullptr ? std::nullopt : options_.forming->Ask();
      return forming.has_value() ? DoctorJson(*forming) : std::string();
    };
    routes.health = [this] {
      EmbeddedModel* const model = model_.load();
      return model == nullptr ? absl::OkStatus() : HealthOf(*model);
    };
    routes.ready = [this] {
      if (options_.stopping && options_.stopping()) {
        return absl::UnavailableError("shutting down");
      }
      if (model_.load() == nullptr) {
        return absl::UnavailableError("the model is being loaded");
      }
      return absl::OkStatus();
    };
    routes.note = [this]() -> std::string {
      EmbeddedModel* const model = model_.load();
      return model == nullptr ? "" : NoteOn(*model);
    };
    routes.version = kVersion;
    FACET_ASSIGN_OR_RETURN(routes.build, BuildId());
    return MakeServingRoutes(std::move(routes));
  }

  const HttpFrontOptions options_;
  std::atomic<EmbeddedModel*> model_ = nullptr;
  AccessLog* const log_;
  std::unique_ptr<Gateway> gateway_;
  HttpHandler routes_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpFront>> HttpFront::Start(
    const HttpFrontOptions& options, AccessLog* log) {
  auto front = std::make_unique<HttpFrontImpl>(options, log);
  FACET_RETURN_IF_ERROR(front->Listen());
  return front;
}

absl::Status HealthOf(EmbeddedModel& model) {
  FACET_RETURN_IF_ERROR(model.engine().health());
  return model.cluster().health();
}

}  // namespace facet
