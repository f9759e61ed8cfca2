#include "rpc/cli/bench/profile_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using ::testing::HasSubstr;

PhaseProfile SomePhase() {
  PhaseProfile phase;
  phase.name = "decode, 1 sequence";
  phase.steps = 2;
  phase.compute_s = 0.010;
  phase.limits = {20, 200, 0};
  OperationProfile small{"norms", 4, 0.0005, 1e3, 1e3};
  OperationProfile large{"head: logits", 2, 0.008, 8e7, 8e7};
  phase.operations = {small, large};
  return phase;
}

TEST(ProfileViewTest, TheBoundIsTheLongerOfReadingAndComputing) {
  const LimitSample limits = {20, 200, 0};
  EXPECT_DOUBLE_EQ(BoundSeconds(40e9, 1e9, limits), 2);
  EXPECT_DOUBLE_EQ(BoundSeconds(1e9, 600e9, limits), 3);
  EXPECT_EQ(BoundSeconds(1e9, 1e9, {}), 0);
}

TEST(ProfileViewTest, LinesGoByTimeWithWhatIsLeftAndTheSum) {
  const std::string table = ProfileTable({{"isa", "avx2"}}, {SomePhase()});
  EXPECT_THAT(table, HasSubstr("2 steps of 5.00 ms"));
  const size_t head = table.find("head: logits");
  const size_t rest = table.find("rest: sampling, plan");
  const size_t norms = table.find("norms");
  // 1.5 ms are left, three times what the norms took.
  EXPECT_LT(head, rest);
  EXPECT_LT(rest, norms);
  EXPECT_LT(norms, table.find("\nall "));
  // 80 MB in 8 ms are 10 GB/s, half of the limit; 80 % of the time.
  EXPECT_THAT(table.substr(head, 110), HasSubstr("80.0 %"));
  EXPECT_THAT(table.substr(head, 110), HasSubstr("50.0 %"));
}

TEST(ProfileViewTest, JsonCountsByStep) {
  const std::string json = ProfileJson({}, {SomePhase()});
  EXPECT_THAT(json, HasSubstr("\"seconds_per_step\": 0.004"));
  EXPECT_THAT(json, HasSubstr("\"calls_per_step\": 2.0"));
}

}  // namespace
}  // namespace facet
