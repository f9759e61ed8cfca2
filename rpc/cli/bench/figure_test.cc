#include "rpc/cli/bench/figure.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;
using testing::Not;

BenchReport Example() {
  BenchReport report;
  report.setting = {{"model", "dense-1b"}, {"isa", "avx2"}};
  report.figures.push_back({"decode",
                            "tokens_per_s",
                            "tokens/s",
                            {9.0, 8.5, 9.25},
                            12.0,
                            "matrix-vector rate",
                            Rate()});
  report.figures.push_back(
      {"decode", "step_p50", "ms", Once(111.0), 0, "", Rate()});
  report.notes.push_back("the machine was busy");
  return report;
}

TEST(FigureTest, TableShowsFractionsOfLimitsAndNotes) {
  const std::string table = ToTable(Example());
  EXPECT_THAT(table, HasSubstr("75.0 %  of matrix-vector rate"));
  EXPECT_THAT(table, HasSubstr("8.500 .. 9.250"));
  EXPECT_THAT(table, HasSubstr("note: the machine was busy"));
  EXPECT_THAT(table, Not(HasSubstr(" \n")));
}

TEST(FigureTest, JsonHoldsEveryFigureAndALimitOnlyWhereThereIsOne) {
  const auto json = nlohmann::json::parse(ToJson(Example()));
  EXPECT_EQ(json["setting"]["isa"], "avx2");
  ASSERT_EQ(json["figures"].size(), 2u);
  EXPECT_EQ(json["figures"][0]["median"], 9.0);
  EXPECT_EQ(json["figures"][0]["fraction"], 0.75);
  EXPECT_FALSE(json["figures"][1].contains("limit"));
}

TEST(FigureTest, RatiosOfRepetitionsComeBeforeTheRatioOfMedians) {
  BenchReport report = Example();
  report.figures[0].ratio = {0.8, 0.7, 0.85};
  EXPECT_THAT(ToTable(report), HasSubstr("80.0 %  of matrix-vector rate"));
  const auto json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["figures"][0]["fraction"], 0.8);
  EXPECT_EQ(json["figures"][0]["fraction_min"], 0.7);
  EXPECT_FALSE(json["figures"][1].contains("fraction_min"));
}

TEST(FigureTest, PercentileIsAValueThatOccurred) {
  const std::vector<double> values = {5, 1, 4, 2, 3};
  EXPECT_EQ(Percentile(values, 50), 3);
  EXPECT_EQ(Percentile(values, 99), 5);
  EXPECT_EQ(Percentile(values, 0), 1);
  EXPECT_EQ(Percentile({7}, 50), 7);
}

}  // namespace
}  // namespace facet
