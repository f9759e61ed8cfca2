#include "rpc/cli/top/metrics_sample.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr char kText[] = R"(# HELP facet:a_total x
# TYPE facet:a_total counter
facet:a_total{model_name="a \"b\", c"} 12
facet:kv_pages{model_name="m",pool="global",state="used"} 3
facet:up 1
vllm:up 7
broken
facet:h_bucket{model_name="m",le="1"} 10
facet:h_bucket{model_name="m",le="2"} 30
facet:h_bucket{model_name="m",le="+Inf"} 40
facet:r_bucket{model_name="m",rank="0",le="1"} 4
facet:r_bucket{model_name="m",rank="1",le="1"} 0
facet:r_bucket{model_name="m",rank="1",le="4"} 4
)";

TEST(MetricsSampleTest, SeriesAreFoundByNameAndLabels) {
  const MetricsSample sample = MetricsSample::Parse(kText);
  EXPECT_EQ(sample.Value("a_total"), 12);
  EXPECT_EQ(sample.Value("kv_pages{pool=\"global\",state=\"used\"}"), 3);
  EXPECT_EQ(sample.Value("up"), 1);
  EXPECT_FALSE(sample.Has("broken"));
  EXPECT_EQ(sample.Value("nothing"), 0);
}

TEST(MetricsSampleTest, AGainCountsFromTheEarlierSampleOrARestart) {
  const MetricsSample now = MetricsSample::Parse(kText);
  EXPECT_EQ(now.Gain(MetricsSample::Parse("facet:a_total 5\n"), "a_total"), 7);
  EXPECT_EQ(now.Gain(MetricsSample::Parse("facet:a_total 50\n"), "a_total"),
            12);
}

TEST(MetricsSampleTest, QuantilesAreThoseOfWhatWasGained) {
  const MetricsSample now = MetricsSample::Parse(kText), none;
  EXPECT_EQ(now.Quantile(none, "h", 0.25), 1.0);
  EXPECT_EQ(now.Quantile(none, "h", 0.5), 1.5);
  EXPECT_EQ(now.Quantile(none, "h", 0.99), 2.0) << "the last finite bound";
  EXPECT_EQ(now.Quantile(now, "h", 0.5), std::nullopt);
  EXPECT_EQ(now.Quantile(none, "missing", 0.5), std::nullopt);
  EXPECT_EQ(now.Quantile(none, "r{rank=\"1\"}", 0.5), 2.5);
  EXPECT_EQ(now.Quantile(none, "r{rank=\"0\"}", 0.5), 0.5);
}

}  // namespace
}  // namespace facet
