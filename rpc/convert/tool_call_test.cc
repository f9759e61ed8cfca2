#include "rpc/convert/tool_call.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

std::string Parse(const std::string& text) {
  const auto call = ParseToolCall(text);
  if (!call.ok()) return std::string(call.status().message());
  return call->name + " " + call->arguments.dump();
}

TEST(ToolCallTest, EveryKindOfValueBecomesJson) {
  EXPECT_EQ(Parse("call:get_weather{city:<|\"|>Lisbon<|\"|>}"),
            R"(get_weather {"city":"Lisbon"})");
  EXPECT_EQ(Parse("call:f{a:1,b:-2.5,c:true,d:None,e:[1,[2]],g:{h:{}}}"),
            R"(f {"a":1,"b":-2.5,"c":true,"d":null,"e":[1,[2]],"g":{"h":{}}})");
  EXPECT_EQ(Parse("call:now{}"), "now {}");
}

TEST(ToolCallTest, StringsMayHoldAnything) {
  EXPECT_EQ(Parse("call:f{a:<|\"|>}{,:\"<tool_call|><|\"|>,b:<|\"|><|\"|>}"),
            R"(f {"a":"}{,:\"<tool_call|>","b":""})");
}

TEST(ToolCallTest, AWordThatIsNoValueIsAString) {
  EXPECT_EQ(Parse("call:f{unit:celsius, n: 3 }"),
            R"(f {"unit":"celsius","n":3})");
}

TEST(ToolCallTest, WhatDoesNotCloseIsRefused) {
  for (const char* text : {"", "call:f", "call:f{", "call:f{a", "call:f{a:",
                           "call:f{a:[1", "call:f{a:<|\"|>x}", "call:f{a:1}x",
                           "call:f{a:{b:1}", "call:f{a:[}]}", "call:f{a:}"}) {
    EXPECT_FALSE(ParseToolCall(text).ok()) << text;
  }
  EXPECT_FALSE(
      ParseToolCall("call:f{a:" + std::string(100000, '[') + "}").ok());
}

}  // namespace
}  // namespace facet
