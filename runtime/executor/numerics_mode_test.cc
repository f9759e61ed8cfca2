#include "gtest/gtest.h"
#include "runtime/executor/rank_runner.h"

namespace facet {
namespace {

NumericsOptions Rounded(bool fast) {
  NumericsOptions numerics;
  numerics.activations = Activations::kBF16;
  numerics.fast = fast;
  return numerics;
}

TEST(NumericsModeTest, UnroundedProductsAreTheSameModeEverywhere) {
  EXPECT_EQ(NumericsMode(NumericsOptions(), /*on_device=*/false), "f32");
  EXPECT_EQ(NumericsMode(NumericsOptions(), /*on_device=*/true), "f32");
}

TEST(NumericsModeTest, FastIsAModeOfItsOwnOnDevices) {
  EXPECT_EQ(NumericsMode(Rounded(false), /*on_device=*/true), "bf16-tensor");
  EXPECT_EQ(NumericsMode(Rounded(true), /*on_device=*/true), "fast-cuda");
  NumericsOptions pages = Rounded(true);
  pages.kv_format = KvFormat::kBF16;
  EXPECT_EQ(NumericsMode(pages, /*on_device=*/true), "fast-cuda+kv-bf16");
}

TEST(NumericsModeTest, FastIsWhatRoundedInputsAreOnProcessors) {
  EXPECT_EQ(NumericsMode(Rounded(true), /*on_device=*/false),
            NumericsMode(Rounded(false), /*on_device=*/false));
  EXPECT_NE(NumericsMode(Rounded(true), /*on_device=*/false),
            NumericsMode(Rounded(true), /*on_device=*/true));
}

}  // namespace
}  // namespace facet
