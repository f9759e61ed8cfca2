#include "rpc/http/serving_routes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rpc/http/error_response.h"

namespace facet {
namespace {

HttpResponse Text(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.push_back({"Cache-Control", "no-store"});
  response.body = std::move(body);
  return response;
}

HttpResponse FromStatus(const absl::Status& status) {
  if (status.ok()) return Text(200, "ok\n");
  return Text(503, absl::StrCat(std::string(status.message().data(),
                                            status.message().size()),
                                "\n"));
}

HttpResponse FromHealth(const absl::Status& status, const std::string& note) {
  if (status.ok() && !note.empty()) {
    return Text(200, absl::StrCat("ok\n", note, "\n"));
  }
  if (!absl::IsUnavailable(status)) return FromStatus(status);
  return Text(200, absl::StrCat("degraded: ",
                                std::string(status.message().data(),
                                            status.message().size()),
                                "\n"));
}

absl::Status Ask(const std::function<absl::Status()>& question) {
  return question == nullptr ? absl::OkStatus() : question();
}

HttpResponse Metrics(const std::string& text) {
  HttpResponse response = Text(200, text);
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

HttpResponse JsonOrLoading(std::string json) {
  if (json.empty()) return Text(503, "the model is being loaded\n");
  HttpResponse response = Text(200, std::move(json));
  response.content_type = "application/json";
  return response;
}

HttpResponse Version(const ServingRoutesOptions& options) {
  nlohmann::ordered_json body;
  body["version"] = options.version;
  body["build"] = options.build;
  HttpResponse response;
  response.content_type = "application/json";
  response.body = body.dump() + "\n";
  return response;
}

HttpResponse Route(const ServingRoutesOptions& options,
                   const HttpRequest& request) {
  std::function<HttpResponse()> answer;
  if (request.path == "/metrics" && options.metrics != nullptr) {
    answer = [&] { return Metrics(options.metrics()); };
  } else if (request.path == "/cluster" && options.cluster != nullptr) {
    answer = [&] { return JsonOrLoading(options.cluster()); };
  } else if (request.path == "/doctor" && options.doctor != nullptr) {
    answer = [&] { return JsonOrLoading(options.doctor()); };
  } else if (request.path == "/healthz") {
    answer = [&] {
      return FromHealth(Ask(options.health),
                        options.note == nullptr ? "" : options.note());
    };
  } else if (request.path == "/readyz") {
    answer = [&] {
      const absl::Status health = Ask(options.health);
      return FromStatus(health.ok() ? Ask(options.ready) : health);
    };
  } else if (request.path == "/version") {
    answer = [&] { return Version(options); };
  } else {
    return ErrorResponse(404, absl::StrCat("no such path: ", request.path));
  }
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse refusal = ErrorResponse(
        405, absl::StrCat(request.path, " takes GET, not ", request.method));
    refusal.headers.push_back({"Allow", "GET, HEAD"});
    return refusal;
  }
  return answer();
}

}  // namespace

HttpHandler MakeServingRoutes(ServingRoutesOptions options) {
  return [options = std::move(options)](
             const std::shared_ptr<HttpExchange>& exchange) {
    exchange->Respond(Route(options, exchange->request()));
  };
}

}  // namespace facet
