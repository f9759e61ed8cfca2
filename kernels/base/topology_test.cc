#include "kernels/base/topology.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/base/thread_pool.h"

namespace facet {
namespace {

std::vector<int> UpTo(int count) {
  std::vector<int> cpus(count);
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

TEST(TopologyTest, EachCoreCountsOnceHoweverManyHardwareThreadsItHas) {
  EXPECT_EQ(CoreCpusOf("core:4 pu:1", UpTo(4)), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(CoreCpusOf("core:4 pu:2", UpTo(8)), (std::vector<int>{0, 2, 4, 6}));
}

TEST(TopologyTest, CoresNearEachOtherStandTogetherWhateverTheirNumbers) {
  // CPUs are numbered across nodes, packages or caches in turn, as on many
  // machines.
  for (const char* machine : {"numa:2 core:2 pu:1(indexes=0,2,1,3)",
                              "package:2 core:2 pu:1(indexes=0,2,1,3)",
                              "l3:2 core:2 pu:1(indexes=0,2,1,3)"}) {
    EXPECT_EQ(CoreCpusOf(machine, UpTo(4)), (std::vector<int>{0, 2, 1, 3}))
        << machine;
  }
}

TEST(TopologyTest, CpusThatMayNotBeUsedAreLeftOut) {
  EXPECT_EQ(CoreCpusOf("numa:2 core:2 pu:2", std::vector<int>{1, 4, 5, 6}),
            (std::vector<int>{1, 4, 6}));
  EXPECT_TRUE(CoreCpusOf("core:2 pu:1", std::vector<int>{9}).empty());
}

TEST(TopologyTest, OnThisMachineTheyAreAmongTheAvailableOnes) {
  const std::vector<int> available = AvailableCpus();
  const std::vector<int> cores = CoreCpus();
  EXPECT_FALSE(cores.empty());
  EXPECT_LE(cores.size(), available.size());
  for (int cpu : cores) {
    EXPECT_EQ(std::count(cores.begin(), cores.end(), cpu), 1) << cpu;
    EXPECT_EQ(std::count(available.begin(), available.end(), cpu), 1) << cpu;
  }
}

}  // namespace
}  // namespace facet
