#include "rpc/openai/gateway.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "rpc/openai/api_json.h"

namespace facet {
namespace {

class GatewayTest : public testing::Test {
 protected:
  // The answer; status 0 where the gateway leaves the request to others.
  HttpResponse Ask(const std::string& method, const std::string& path) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.headers = {{"Content-Type", "application/json"}};
    request.body = "{}";
    const auto queue = std::make_shared<ExchangeQueue>(1 << 20, nullptr);
    const auto exchange = std::make_shared<HttpExchange>(request, queue);
    HttpResponse response;
    if (gateway_->Handle(exchange)) return *queue->Take().head;
    exchange->Respond(response);
    response.status = 0;
    return response;
  }

  const std::unique_ptr<AccessLog> log_ = *AccessLog::Open("off");
  const std::unique_ptr<Gateway> gateway_ =
      Gateway::Create(GatewayOptions(), log_.get());
};

TEST_F(GatewayTest, BeforeTheModelIsThereRequestsAreToldToComeBack) {
  const HttpResponse response = Ask("POST", "/v1/chat/completions");
  EXPECT_EQ(response.status, 503);
  std::string wait;
  for (const HttpHeader& header : response.headers) {
    if (header.name == "Retry-After") wait = header.value;
  }
  EXPECT_EQ(wait, "5");
  EXPECT_EQ(ApiJson::parse(response.body)["error"]["code"],
            "service_unavailable");
  EXPECT_EQ(Ask("GET", "/v1/models").status, 503);
}

TEST_F(GatewayTest, OtherPathsAreLeftToOthers) {
  EXPECT_EQ(Ask("GET", "/healthz").status, 0);
  EXPECT_EQ(Ask("GET", "/metrics").status, 0);
}

TEST_F(GatewayTest, WrongPathsAndMethodsAreToldApart) {
  EXPECT_EQ(Ask("POST", "/v1/nothing").status, 404);
  EXPECT_EQ(Ask("GET", "/v1/completions").status, 405);
  EXPECT_EQ(Ask("POST", "/v1/models").status, 405);
  EXPECT_EQ(Ask("OPTIONS", "/v1/completions").status, 405);
}

}  // namespace
}  // namespace facet
