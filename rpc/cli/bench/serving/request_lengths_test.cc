#include "rpc/cli/bench/serving/request_lengths.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

struct Means {
  double prompt = 0;
  double answer = 0;
};

Means MeansOf(double scale, int draws) {
  RequestLengthSource source(scale, /*seed=*/7);
  Means means;
  for (int i = 0; i < draws; ++i) {
    const RequestLengths lengths = source.Next();
    means.prompt += static_cast<double>(lengths.prompt) / draws;
    means.answer += static_cast<double>(lengths.answer) / draws;
  }
  return means;
}

TEST(RequestLengthsTest, MeansAreThoseThatTheHeaderStates) {
  const Means means = MeansOf(1, 200000);
  // The longest ones are cut, which takes a few tokens off the means.
  EXPECT_NEAR(means.prompt, 207, 6);
  EXPECT_NEAR(means.answer, 201, 4);
}

TEST(RequestLengthsTest, AScaleMultipliesAllLengths) {
  const Means whole = MeansOf(1, 100000);
  const Means eighth = MeansOf(0.125, 100000);
  EXPECT_NEAR(eighth.prompt * 8, whole.prompt, 0.1 * whole.prompt);
  EXPECT_NEAR(eighth.answer * 8, whole.answer, 0.1 * whole.answer);
}

TEST(RequestLengthsTest, NoLengthIsOutOfBounds) {
  for (double scale : {0.01, 0.125, 1.0}) {
    RequestLengthSource source(scale, 3);
    for (int i = 0; i < 20000; ++i) {
      const RequestLengths lengths = source.Next();
      ASSERT_GE(lengths.prompt, 4);
      ASSERT_LE(lengths.prompt, std::max(4.0, kLongestPrompt * scale + 1));
      ASSERT_GE(lengths.answer, 2);
      ASSERT_LE(lengths.answer, std::max(2.0, kLongestAnswer * scale + 1));
    }
  }
}

TEST(RequestLengthsTest, TheSeedDeterminesTheLengths) {
  RequestLengthSource a(1, 11), b(1, 11), c(1, 12);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const RequestLengths x = a.Next(), y = b.Next(), z = c.Next();
    EXPECT_EQ(x.prompt, y.prompt);
    EXPECT_EQ(x.answer, y.answer);
    differs |= x.prompt != z.prompt;
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace facet
