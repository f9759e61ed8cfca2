#include "rpc/http/serving_routes.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace facet {
namespace {

HttpResponse Ask(const HttpHandler& handler, const std::string& path,
                 const std::string& method = "GET") {
  HttpRequest request;
  request.method = method;
  request.path = path;
  auto queue = std::make_shared<ExchangeQueue>(1000, nullptr);
  handler(std::make_shared<HttpExchange>(request, queue));
  return *queue->Take().head;
}

TEST(ServingRoutesTest, MetricsAreGivenAsPrometheusReadsThem) {
  ServingRoutesOptions options;
  options.metrics = [] { return "facet:x 1\n"; };
  const HttpResponse response = Ask(MakeServingRoutes(options), "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(response.body, "facet:x 1\n");
  EXPECT_EQ(Ask(MakeServingRoutes({}), "/metrics").status, 404);
}

TEST(ServingRoutesTest, HealthAndReadinessTellTheReason) {
  absl::Status health, ready;
  ServingRoutesOptions options;
  options.health = [&] { return health; };
  options.ready = [&] { return ready; };
  const HttpHandler handler = MakeServingRoutes(options);
  EXPECT_EQ(Ask(handler, "/healthz").status, 200);
  EXPECT_EQ(Ask(handler, "/readyz").status, 200);

  ready = absl::UnavailableError("shutting down");
  EXPECT_EQ(Ask(handler, "/healthz").status, 200);
  EXPECT_EQ(Ask(handler, "/readyz").status, 503);
  EXPECT_EQ(Ask(handler, "/readyz").body, "shutting down\n");

  health = absl::UnavailableError("worker 1 is lost");
  EXPECT_EQ(Ask(handler, "/healthz").status, 200);
  EXPECT_EQ(Ask(handler, "/healthz").body, "degraded: worker 1 is lost\n");
  EXPECT_EQ(Ask(handler, "/readyz").status, 503);

  health = absl::InternalError("worker 1 is lost");
  for (const char* path : {"/healthz", "/readyz"}) {
    EXPECT_EQ(Ask(handler, path).status, 503) << path;
    EXPECT_EQ(Ask(handler, path).body, "worker 1 is lost\n") << path;
  }
}

TEST(ServingRoutesTest, VersionIsJson) {
  ServingRoutesOptions options;
  options.version = "0.1";
  options.build = "abc";
  const HttpResponse response = Ask(MakeServingRoutes(options), "/version");
  const auto json = nlohmann::json::parse(response.body);
  EXPECT_EQ(json["version"], "0.1");
  EXPECT_EQ(json["build"], "abc");
  EXPECT_EQ(response.content_type, "application/json");
}

TEST(ServingRoutesTest, OtherPathsAndMethodsGetOpenAiErrors) {
  const HttpHandler handler = MakeServingRoutes({});
  const HttpResponse missing = Ask(handler, "/v1/\xff\"nothing", "POST");
  EXPECT_EQ(missing.status, 404);
  const auto error = nlohmann::json::parse(missing.body)["error"];
  EXPECT_EQ(error["code"], "not_found");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_NE(error["message"].get<std::string>().find("/v1/"),
            std::string::npos);

  const HttpResponse refused = Ask(handler, "/healthz", "POST");
  EXPECT_EQ(refused.status, 405);
  ASSERT_EQ(refused.headers.size(), 1u);
  EXPECT_EQ(refused.headers[0].name, "Allow");
  EXPECT_EQ(refused.headers[0].value, "GET, HEAD");
  EXPECT_EQ(Ask(handler, "/healthz", "HEAD").status, 200);
}

}  // namespace
}  // namespace facet
