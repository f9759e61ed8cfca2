#include "rpc/trace/trace_context.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr char kHeader[] =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContextTest, AHeaderReadsAndPrintsAsItself) {
  const auto context = ParseTraceParent(kHeader);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context->span_id, "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(FormatTraceParent(*context), kHeader);
}

TEST(TraceContextTest, OnlyTheLowestFlagSaysSampled) {
  std::string header = kHeader;
  for (const auto& [flags, sampled] :
       {std::pair<const char*, bool>{"00", false},
        {"01", true},
        {"02", false},
        {"ff", true},
        {"fe", false}}) {
    header.replace(header.size() - 2, 2, flags);
    EXPECT_EQ(ParseTraceParent(header)->sampled, sampled) << header;
  }
}

TEST(TraceContextTest, LaterVersionsMayHaveMoreBehind) {
  std::string header = kHeader;
  header.replace(0, 2, "cc");
  EXPECT_TRUE(ParseTraceParent(header).has_value());
  EXPECT_TRUE(ParseTraceParent(header + "-what-ever").has_value());
  EXPECT_FALSE(ParseTraceParent(header + "x").has_value());
}

TEST(TraceContextTest, WhatIsNoHeaderIsNone) {
  for (const char* wrong :
       {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01"}) {
    EXPECT_FALSE(ParseTraceParent(wrong).has_value()) << wrong;
  }
}

TEST(TraceContextTest, ASpanStaysInItsParentsTraceOrBeginsOne) {
  const auto parent = ParseTraceParent(kHeader);
  const TraceContext child = NewSpan(parent);
  EXPECT_EQ(child.trace_id, parent->trace_id);
  EXPECT_NE(child.span_id, parent->span_id);
  const TraceContext root = NewSpan(std::nullopt);
  EXPECT_TRUE(ParseTraceParent(FormatTraceParent(root)).has_value());
  EXPECT_NE(root.trace_id, NewSpan(std::nullopt).trace_id);
}

}  // namespace
}  // namespace facet
