#include "rpc/trace/otlp_json.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// 64-bit numbers are texts in this protocol.
Json Number64(int64_t value) { return absl::StrCat(value); }

Json Value(const SpanValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return {{"stringValue", *text}};
  }
  if (const auto* number = std::get_if<int64_t>(&value)) {
    return {{"intValue", Number64(*number)}};
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return {{"doubleValue", *number}};
  }
  return {{"boolValue", std::get<bool>(value)}};
}

Json Attribute(const std::string& key, const SpanValue& value) {
  return {{"key", key}, {"value", Value(value)}};
}

Json SpanJson(const Span& span) {
  constexpr int kInternal = 1, kServer = 2;  // kinds
  constexpr int kError = 2;                  // of a status
  Json json;
  json["traceId"] = span.context.trace_id;
  json["spanId"] = span.context.span_id;
  if (!span.parent_id.empty()) json["parentSpanId"] = span.parent_id;
  json["name"] = span.name;
  json["kind"] = span.serves ? kServer : kInternal;
  json["startTimeUnixNano"] = Number64(absl::ToUnixNanos(span.start));
  json["endTimeUnixNano"] = Number64(absl::ToUnixNanos(span.end));
  json["attributes"] = Json::array();
  for (const auto& [key, value] : span.attributes) {
    json["attributes"].push_back(Attribute(key, value));
  }
  if (!span.error.empty()) {
    json["status"] = {{"code", kError}, {"message", span.error}};
  }
  return json;
}

}  // namespace

std::string OtlpJson(const std::vector<Span>& spans,
                     absl::string_view version) {
  Json list = Json::array();
  for (const Span& span : spans) list.push_back(SpanJson(span));
  Json scope;
  scope["scope"] = {{"name", "facet"}, {"version", std::string(version)}};
  scope["spans"] = std::move(list);
  Json resource;
  resource["resource"]["attributes"] =
      Json::array({Attribute("service.name", std::string("facet")),
                   Attribute("service.version", std::string(version))});
  resource["scopeSpans"] = Json::array({std::move(scope)});
  Json body;
  body["resourceSpans"] = Json::array({std::move(resource)});
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace facet
