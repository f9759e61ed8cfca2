#include "rpc/cli/top/top_screen.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr char kCluster[] = R"({"model": "demo", "layers": 10,
    "context_tokens": 4096, "pp": 2, "tp": 1, "ranks": [
    {"rank": 0, "stage": 0, "tp_rank": 0, "first_layer": 0, "last_layer": 4,
     "weight_bytes": 1048576, "kv_bytes": 2097152},
    {"rank": 1, "stage": 1, "tp_rank": 0, "first_layer": 5, "last_layer": 9,
     "weight_bytes": 1048576, "kv_bytes": 2097152}]})";

constexpr char kNow[] = R"(facet:num_requests_running 3
facet:num_requests_waiting 1
facet:generation_tokens_total 1100
facet:prompt_tokens_total 40
facet:prefix_cache_queries_total 40
facet:prefix_cache_hits_total 10
facet:kv_pages{pool="global",state="used"} 50
facet:kv_pages{pool="global",state="cached"} 25
facet:kv_pages{pool="global",state="free"} 25
facet:time_to_first_token_seconds_bucket{le="0.1"} 10
facet:time_to_first_token_seconds_bucket{le="+Inf"} 10
facet:worker_up{rank="0"} 1
facet:worker_up{rank="1"} 0
)";

TopView View() {
  TopView view;
  view.cluster = *ParseCluster(kCluster);
  view.now = MetricsSample::Parse(kNow);
  view.before = MetricsSample::Parse("facet:generation_tokens_total 100\n");
  view.between = absl::Seconds(2);
  return view;
}

TEST(TopScreenTest, FiguresAreThoseOfTheLastInterval) {
  const std::string text = TopScreen(View(), /*color=*/false);
  for (const char* shown :
       {"demo, 10 layers", "pp 2 x tp 1", "3 running, 1 waiting",
        "500.0/s generated", "20.0/s of prompts", "25 % of prompts",
        "first token 50 ms / 99 ms", "[############++++++......] 50 % used",
        "the last 2s"}) {
    EXPECT_TRUE(absl::StrContains(text, shown)) << shown << "\n" << text;
  }
}

TEST(TopScreenTest, EachRankHasALineThatSaysWhetherItIsUp) {
  const std::string text = TopScreen(View(), /*color=*/false);
  EXPECT_TRUE(absl::StrContains(text, "0-4")) << text;
  EXPECT_TRUE(absl::StrContains(text, "5-9")) << text;
  EXPECT_TRUE(absl::StrContains(text, "up\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "down\n")) << text;
}

TEST(TopScreenTest, OnlyATerminalGetsEscapes) {
  EXPECT_FALSE(absl::StrContains(TopScreen(View(), false), "\033"));
  EXPECT_TRUE(absl::StrContains(TopScreen(View(), true), "\033[31mdown"));
}

TEST(TopScreenTest, WhatIsNoPictureOfAClusterIsRefused) {
  for (const char* wrong : {"", "[]", "{}", R"({"model": 1})",
                            R"({"model": "m", "layers": 1, "pp": 1, "tp": 1,
                                "context_tokens": 1, "ranks": [{}]})"}) {
    EXPECT_FALSE(ParseCluster(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace facet
