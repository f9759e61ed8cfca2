#include "kernels/sampling/philox.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers published with the paper's own implementation.
TEST(PhiloxTest, GivesThePublishedKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                       {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, EveryCounterAndKeyBitChangesAboutHalfOfTheOutput) {
  const Block base = Philox4x32({1, 2, 3, 4}, {5, 6});
  for (int bit = 0; bit < 192; ++bit) {
    Block counter = {1, 2, 3, 4};
    std::array<uint32_t, 2> key = {5, 6};
    if (bit < 128) {
      counter[bit / 32] ^= 1u << bit % 32;
    } else {
      key[(bit - 128) / 32] ^= 1u << bit % 32;
    }
    const Block other = Philox4x32(counter, key);
    int changed = 0;
    for (int i = 0; i < 4; ++i) {
      changed += __builtin_popcount(base[i] ^ other[i]);
    }
    // Six standard deviations of 128 fair coins are 34.
    EXPECT_NEAR(changed, 64, 34) << bit;
  }
}

}  // namespace
}  // namespace facet
