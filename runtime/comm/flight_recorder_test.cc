#include "runtime/comm/flight_recorder.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/comm/hang_detector.h"

namespace facet {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::UnixEpoch();

TEST(FlightRecorderTest, TellsOperationBytesPeerNumberAndState) {
  FlightRecorder recorder;
  const uint64_t sum = recorder.Ask("all-reduce", 21504, -1, kStart);
  const uint64_t send = recorder.Ask("send", 512, 3, kStart);
  const uint64_t receive = recorder.Ask("receive", 8, 2, kStart);
  recorder.Queue(sum);
  recorder.Queue(send);
  recorder.Queue(receive);
  recorder.FinishUpTo(sum);
  recorder.Fail(receive);
  EXPECT_EQ(recorder.Last(16),
            "#1 all-reduce 21504 B finished; #2 send 512 B to rank 3 queued; "
            "#3 receive 8 B from rank 2 failed");
  EXPECT_EQ(recorder.Oldest().number, send);
}

TEST(FlightRecorderTest, DumpHasALineForEachCallWithItsAge) {
  FlightRecorder recorder;
  recorder.Ask("broadcast", 4, 0, kStart);
  const std::string dump = recorder.Dump(kStart + absl::Milliseconds(1500));
  EXPECT_THAT(dump, HasSubstr("#1 broadcast 4 B from rank 0"));
  EXPECT_THAT(dump, HasSubstr("asked for 1.500 s ago\n"));
}

TEST(FlightRecorderTest, KeepsTheLastCallsHoweverManyThereWere) {
  FlightRecorder recorder;
  for (int i = 0; i < 10000; ++i) recorder.Ask("send", i, 1, kStart);
  EXPECT_EQ(recorder.Last(1), "#10000 send 9999 B to rank 1 asked for");
  // Those not kept any longer are none that could be shown.
  EXPECT_EQ(recorder.Oldest().number, 10000 - 256 + 1);
  recorder.FinishUpTo(10000);
  EXPECT_EQ(recorder.Oldest().number, 0);
  EXPECT_EQ(recorder.finished(), 10000);
}

TEST(FlightRecorderTest, NothingFinishesBeforeItWasAskedFor) {
  FlightRecorder recorder;
  recorder.Ask("send", 1, 1, kStart);
  recorder.FinishUpTo(7);
  EXPECT_EQ(recorder.finished(), 1);
}

TEST(HangDetectorTest, OnlyTimeWithoutProgressCounts) {
  HangDetector detector(absl::Seconds(10));
  const auto at = [](int seconds) { return kStart + absl::Seconds(seconds); };
  EXPECT_FALSE(detector.IsHung(at(0), 0, 0));
  EXPECT_FALSE(detector.IsHung(at(100), 0, 0)) << "nothing was asked for";
  EXPECT_FALSE(detector.IsHung(at(101), 5, 0));
  EXPECT_FALSE(detector.IsHung(at(110), 5, 0));
  EXPECT_FALSE(detector.IsHung(at(111), 5, 1)) << "one finished";
  EXPECT_FALSE(detector.IsHung(at(120), 9, 1));
  EXPECT_TRUE(detector.IsHung(at(121), 9, 1));
  EXPECT_FALSE(detector.IsHung(at(122), 9, 9));
  EXPECT_FALSE(detector.IsHung(at(500), 10, 9)) << "it has only just begun";
  EXPECT_TRUE(detector.IsHung(at(510), 10, 9));
}

}  // namespace
}  // namespace facet
