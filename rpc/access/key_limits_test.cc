#include "rpc/access/key_limits.h"

#include "gtest/gtest.h"
#include "rpc/coordinator/retry_after.h"

namespace facet {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

ApiKey Key(double per_minute, int concurrent) {
  ApiKey key;
  key.name = "alice";
  key.requests_per_minute = per_minute;
  key.concurrent_requests = concurrent;
  return key;
}

// How many requests begin at `now` before one is refused.
int Begins(KeyLimits* limits, const ApiKey& key, absl::Time now) {
  int count = 0;
  while (limits->Begin(key, now).ok()) ++count;
  return count;
}

TEST(KeyLimitsTest, AMinutesRequestsComeAtOnceAndThenEvenly) {
  KeyLimits limits;
  const ApiKey key = Key(60, 0);
  EXPECT_EQ(Begins(&limits, key, kStart), 60);
  EXPECT_EQ(Begins(&limits, key, kStart + absl::Milliseconds(900)), 0);
  EXPECT_EQ(Begins(&limits, key, kStart + absl::Seconds(3)), 3);
  EXPECT_EQ(Begins(&limits, key, kStart + absl::Hours(9)), 60);
}

TEST(KeyLimitsTest, ARefusalSaysWhenTheNextRequestMayBegin) {
  KeyLimits limits;
  const ApiKey key = Key(2, 0);
  EXPECT_EQ(Begins(&limits, key, kStart), 2);
  const absl::Status refused = limits.Begin(key, kStart + absl::Seconds(10));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  const auto wait = RetryAfter(refused);
  ASSERT_TRUE(wait.has_value());
  EXPECT_FALSE(limits
                   .Begin(key, kStart + absl::Seconds(10) + *wait -
                                   absl::Milliseconds(2))
                   .ok());
  EXPECT_TRUE(limits.Begin(key, kStart + absl::Seconds(10) + *wait).ok());
}

TEST(KeyLimitsTest, LessThanOneAMinuteStillLetsOneIn) {
  KeyLimits limits;
  const ApiKey key = Key(0.5, 0);
  EXPECT_EQ(Begins(&limits, key, kStart), 1);
  EXPECT_EQ(Begins(&limits, key, kStart + absl::Minutes(1)), 0);
  EXPECT_EQ(Begins(&limits, key, kStart + absl::Minutes(2)), 1);
}

TEST(KeyLimitsTest, OnlySoManyRunAtOnce) {
  KeyLimits limits;
  const ApiKey key = Key(0, 3);
  EXPECT_EQ(Begins(&limits, key, kStart), 3);
  limits.End("alice");
  EXPECT_EQ(Begins(&limits, key, kStart), 1);
  EXPECT_EQ(Begins(&limits, Key(0, 5), kStart), 2) << "a raised limit";
}

TEST(KeyLimitsTest, ARefusedRequestUsesNothingUp) {
  KeyLimits limits;
  const ApiKey key = Key(2, 1);
  EXPECT_TRUE(limits.Begin(key, kStart).ok());
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limits.Begin(key, kStart).ok());
  limits.End("alice");
  EXPECT_TRUE(limits.Begin(key, kStart).ok());
}

TEST(KeyLimitsTest, AClockThatGoesBackGivesNothing) {
  KeyLimits limits;
  const ApiKey key = Key(1, 0);
  EXPECT_EQ(Begins(&limits, key, kStart), 1);
  EXPECT_EQ(Begins(&limits, key, kStart - absl::Hours(1)), 0);
  EXPECT_EQ(Begins(&limits, key, kStart), 0);
}

TEST(KeyLimitsTest, KeysDoNotShareTheirLimits) {
  KeyLimits limits;
  ApiKey other = Key(1, 1);
  EXPECT_TRUE(limits.Begin(other, kStart).ok());
  other.name = "bob";
  EXPECT_TRUE(limits.Begin(other, kStart).ok());
}

}  // namespace
}  // namespace facet
