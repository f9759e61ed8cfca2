#include "kernels/matmul/big_tile_cuda_plan.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(BigPlace, PiecesOfAStageDoNotOverlap) {
  for (const int warps_w : {2, 4}) {
    const int rows = BigTileW(warps_w) + kBigTileX;
    std::set<int> places;
    for (int row = 0; row < rows; ++row) {
      for (int piece = 0; piece < kPiecesPerChunk; ++piece) {
        const int at = BigPlace(row, piece);
        EXPECT_EQ(at % 16, 0);
        EXPECT_LE(at + 16, BigStageBytes(warps_w));
        EXPECT_TRUE(places.insert(at).second) << row << ", " << piece;
      }
    }
  }
}

// 128 bytes at a time: eight addresses of 16 bytes meet all 32 banks.
TEST(BigPlace, NeitherLoadsNorCopiesMeetInABank) {
  const auto banks = [](const std::vector<int>& places) {
    std::set<int> met;
    for (const int at : places) met.insert(at / 16 % 8);
    return met.size();
  };
  for (int tile = 0; tile < 384 / 16; ++tile) {
    for (int step = 0; step < kChunk / 16; ++step) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        std::vector<int> w, x;
        for (int lane = 8 * matrix; lane < 8 * matrix + 8; ++lane) {
          const BigLane of_w = LaneOfW(lane), of_x = LaneOfX(lane);
          w.push_back(BigPlace(16 * tile + of_w.row, of_w.piece + 2 * step));
          x.push_back(BigPlace(16 * tile + of_x.row, of_x.piece + 2 * step));
        }
        EXPECT_EQ(banks(w), 8u);
        EXPECT_EQ(banks(x), 8u);
      }
    }
  }
  for (int row = 0; row < 384; ++row) {
    std::vector<int> copied;
    for (int piece = 0; piece < 8; ++piece) {
      copied.push_back(BigPlace(row, piece));
    }
    EXPECT_EQ(banks(copied), 8u);
  }
}

// What a kernel adds to a place instead of working it out again.
TEST(BigPlace, SixteenRowsFurtherIsTheSamePiece) {
  for (int row = 0; row < 300; ++row) {
    for (int piece = 0; piece < 8; ++piece) {
      EXPECT_EQ(BigPlace(row + 16, piece),
                BigPlace(row, piece) + 16 * kBigRowBytes);
    }
  }
}

// The tensor core's fragments, as kernels/cuda/tensor_core.h has them: of w
// rows g and g + 8 with both pieces, of x two groups of eight rows.
TEST(BigLane, FragmentsAreWhatTheTensorCoreTakes) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int g = 0; g < 8; ++g) {
      const BigLane w = LaneOfW(8 * matrix + g), x = LaneOfX(8 * matrix + g);
      EXPECT_EQ(w.row, g + matrix % 2 * 8);
      EXPECT_EQ(w.piece, matrix / 2);
      EXPECT_EQ(x.row, g + matrix / 2 * 8);
      EXPECT_EQ(x.piece, matrix % 2);
    }
  }
}

TEST(BigTile, EveryResultIsComputedOnceFromItsOwnRows) {
  for (const int warps_w : {2, 4}) {
    for (const bool gated : {false, true}) {
      std::map<std::pair<int, int>, int> found;
      const int tiles = gated ? 2 : 4;
      for (int warp_w = 0; warp_w < warps_w; ++warp_w) {
        for (int warp_x = 0; warp_x < kWarpsX; ++warp_x) {
          for (int lane = 0; lane < 32; ++lane) {
            for (int t = 0; t < tiles; ++t) {
              for (int group = 0; group < 8; ++group) {
                for (int i = 0; i < 4; ++i) {
                  const BigResult at = BigResultOf(t, group, i, lane);
                  const int column = warp_w * (gated ? 32 : 64) + at.column;
                  // The row of the stage that the fragment came from: row g,
                  // or g + 8 for the last two values.
                  const int row =
                      warp_w * kWarpRows + 16 * t + lane / 4 + (i >= 2 ? 8 : 0);
                  const BigRow of = BigRowOf(gated, row);
                  EXPECT_EQ(of.offset, column);
                  EXPECT_FALSE(of.up);
                  if (gated) {
                    const BigRow other = BigRowOf(gated, row + 32);
                    EXPECT_EQ(other.offset, column);
                    EXPECT_TRUE(other.up);
                  }
                  EXPECT_EQ(at.row, 8 * group + lane % 4 * 2 + i % 2);
                  ++found[{warp_x * kWarpRows + at.row, column}];
                }
              }
            }
          }
        }
      }
      EXPECT_EQ(found.size(), static_cast<size_t>(kBigTileX) *
                                  BigTileColumns(warps_w, gated));
      for (const auto& [at, times] : found) EXPECT_EQ(times, 1);
    }
  }
}

// What a thread adds to its first row's address instead of working it out
// again.
TEST(BigTile, RowsThatAThreadCopiesAreAsFarApartAsThoseOfTheFirst) {
  for (const int warps_w : {2, 4}) {
    const int at_once = BigTileRowsAtOnce(warps_w);
    for (const bool gated : {false, true}) {
      for (int row = 0; row < BigTileW(warps_w); ++row) {
        const int first = row % at_once;
        const BigRow of = BigRowOf(gated, row);
        const BigRow of_same = BigRowOf(gated, row - first);
        EXPECT_FALSE(BigRowOf(gated, first).up);
        EXPECT_EQ(of.up, of_same.up);
        EXPECT_EQ(of.offset - BigRowOf(gated, first).offset,
                  of_same.offset - BigRowOf(gated, 0).offset);
      }
    }
  }
}

TEST(LiveGroups, CoverTheRowsAndNoMoreThanFifteenOthers) {
  for (int rows = 0; rows <= kBigTileX; ++rows) {
    int covered = 0;
    for (int warp_x = 0; warp_x < kWarpsX; ++warp_x) {
      const int groups = LiveGroups(rows, warp_x);
      ASSERT_GE(groups, 0);
      ASSERT_LE(groups * kLiveRows, kWarpRows);
      // Groups of the second half only behind a whole first half.
      if (groups > 0) {
        EXPECT_EQ(covered, warp_x * kWarpRows);
      }
      covered += groups * kLiveRows;
    }
    EXPECT_GE(covered, rows);
    EXPECT_LT(covered, rows + kLiveRows);
  }
}

TEST(BigTile, SharedMemoryOfTwoBlocksFitsAnSm) {
  EXPECT_LE(2 * (BigTileSharedBytes(2) + 1024), 228 * 1024);
  EXPECT_LE(BigTileSharedBytes(4), 227 * 1024);
}

}  // namespace
}  // namespace facet
