#include "kernels/base/spinner.h"

#include <chrono>

#include "gtest/gtest.h"

namespace facet {
namespace {

void WaitInVain(Spinner& spinner) {
  spinner.Begin();
  while (spinner.Spin()) {
  }
  spinner.End(false);
}

TEST(SpinnerTest, LooksAtLeastAsLongAsItsBudgetBeforeItIsTimeToSleep) {
  Spinner spinner;
  const auto start = std::chrono::steady_clock::now();
  WaitInVain(spinner);
  EXPECT_GE(std::chrono::steady_clock::now() - start, Spinner::kMost);
}

TEST(SpinnerTest, LooksLessTheMoreOftenItWasInVain) {
  Spinner spinner;
  auto before = spinner.budget();
  while (before > Spinner::kLeast) {
    WaitInVain(spinner);
    ASSERT_LT(spinner.budget(), before);
    before = spinner.budget();
  }
  WaitInVain(spinner);
  EXPECT_EQ(spinner.budget(), Spinner::kLeast);
}

TEST(SpinnerTest, LooksAtLengthAgainOnceThatPaid) {
  Spinner spinner;
  for (int i = 0; i < 20; ++i) WaitInVain(spinner);
  spinner.Begin();
  spinner.End(true);
  EXPECT_EQ(spinner.budget(), Spinner::kMost);
}

TEST(SpinnerTest, TriesAtLengthNowAndThenWhenShortLooksAreInVain) {
  Spinner spinner;
  int at_length = 0;
  for (int i = 0; i < 1000; ++i) {
    spinner.Begin();
    at_length += spinner.budget() == Spinner::kMost;
    while (spinner.Spin()) {
    }
    spinner.End(false);
  }
  EXPECT_GE(at_length, 2);
  EXPECT_LE(at_length, 50);
}

}  // namespace
}  // namespace facet
