#include "rpc/trace/otlp_json.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(OtlpJsonTest, ASpanHasTheFieldsThatCollectorsRead) {
  Span span;
  span.context = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"};
  span.parent_id = "1111111111111111";
  span.name = "decode";
  span.start = absl::FromUnixNanos(1700000000000000001);
  span.end = absl::FromUnixNanos(1700000001000000000);
  span.attributes = {{"text", std::string("a")},
                     {"count", int64_t{3}},
                     {"share", 0.5},
                     {"whole", true}};
  const auto body = nlohmann::json::parse(OtlpJson({span}, "1.2"));
  const auto& resource = body["resourceSpans"][0];
  EXPECT_EQ(resource["resource"]["attributes"][0]["key"], "service.name");
  EXPECT_EQ(resource["resource"]["attributes"][0]["value"]["stringValue"],
            "facet");
  EXPECT_EQ(resource["scopeSpans"][0]["scope"]["version"], "1.2");
  EXPECT_EQ(resource["scopeSpans"][0]["spans"][0], nlohmann::json::parse(R"({
    "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "spanId": "00f067aa0ba902b7", "parentSpanId": "1111111111111111",
    "name": "decode", "kind": 1,
    "startTimeUnixNano": "1700000000000000001",
    "endTimeUnixNano": "1700000001000000000",
    "attributes": [{"key": "text", "value": {"stringValue": "a"}},
                   {"key": "count", "value": {"intValue": "3"}},
                   {"key": "share", "value": {"doubleValue": 0.5}},
                   {"key": "whole", "value": {"boolValue": true}}]})"));
}

TEST(OtlpJsonTest, ServersAndErrorsAreMarked) {
  Span span;
  span.serves = true;
  span.error = "rate_limit_exceeded";
  const auto body = nlohmann::json::parse(OtlpJson({span, span}, ""));
  const auto& spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1]["kind"], 2);
  EXPECT_EQ(spans[1]["status"]["code"], 2);
  EXPECT_EQ(spans[1]["status"]["message"], "rate_limit_exceeded");
  EXPECT_FALSE(spans[1].contains("parentSpanId"));
}

}  // namespace
}  // namespace facet
