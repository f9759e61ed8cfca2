#include "rpc/cli/bench/collectives.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(CollectivesTest, BothExchangesEndAndTakeTime) {
  const auto times = TimeAllReduce(/*floats=*/1536, /*iterations=*/50);
  ASSERT_TRUE(times.ok()) << times.status();
  const AllReduceTimes bare = TimeBareExchange(1536, 50);
  for (const AllReduceTimes& each : {*times, bare}) {
    EXPECT_GT(each.p50_us, 0);
    EXPECT_LE(each.p50_us, each.p99_us);
  }
}

}  // namespace
}  // namespace facet
