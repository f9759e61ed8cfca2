#include "scheduler/simulate/report.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(ReportTest, PercentilesAreValuesThatOccur) {
  std::vector<float> values;
  for (int i = 100; i >= 1; --i) values.push_back(static_cast<float>(i));
  const Distribution d = Describe(values);
  EXPECT_EQ(d.count, 100);
  EXPECT_EQ(d.p50, 50);
  EXPECT_EQ(d.p90, 90);
  EXPECT_EQ(d.p99, 99);
  EXPECT_EQ(d.max, 100);
  EXPECT_EQ(d.mean, 50.5);

  const Distribution one = Describe({3});
  EXPECT_EQ(one.p50, 3);
  EXPECT_EQ(one.p99, 3);
  EXPECT_EQ(Describe({}).count, 0);
}

TEST(ReportTest, AMeanOverTimeWeighsByHowLongAValueStayed) {
  TimeMean mean;
  mean.Set(0, 4);
  mean.Set(1, 0);
  mean.Set(3, 10);
  mean.Set(3, 2);  // replaced before any time passed
  mean.End(5);
  EXPECT_DOUBLE_EQ(mean.mean(), (1 * 4 + 2 * 0 + 2 * 2) / 5.0);
  EXPECT_EQ(mean.max(), 10);
}

TEST(ReportTest, JsonHasWhatTheTableHas) {
  SimulationReport report;
  report.requests = 12;
  report.completed = 10;
  report.cancelled = 2;
  report.simulated_s = 4;
  report.output_tokens = 1000;
  report.first_token_s = Describe({0.25, 0.5});
  report.prefix_queries = 8;
  report.prefix_hits = 2;
  report.global = {100, {25, 50}, {10, 20}};
  const nlohmann::json json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["requests"]["completed"], 10);
  EXPECT_EQ(json["output_tokens_per_s"], 250);
  EXPECT_EQ(json["first_token_s"]["p50"], 0.25);
  EXPECT_EQ(json["prefix_hit_rate"], 0.25);
  EXPECT_EQ(json["global_pages"]["held"]["max"], 50);

  const std::string table = ToTable(report);
  EXPECT_NE(table.find("completed 10, cancelled 2"), std::string::npos);
  EXPECT_NE(table.find("250.0 output tokens/s"), std::string::npos);
  EXPECT_NE(table.find("25.0%   2 of 8 prompt tokens"), std::string::npos);
  EXPECT_NE(table.find("global                    100      25.0%      50.0%"),
            std::string::npos)
      << table;
}

}  // namespace
}  // namespace facet
