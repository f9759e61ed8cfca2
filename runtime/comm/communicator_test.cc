// What every communicator does, whatever carries the bytes.
#include "runtime/comm/communicator.h"

#include <barrier>
#include <bit>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/comm/testing/run_ranks.h"

namespace facet {
namespace {

#define ASSERT_OK(expression)                 \
  do {                                        \
    const absl::Status status = (expression); \
    ASSERT_TRUE(status.ok()) << status;       \
  } while (false)

using Values = std::vector<float>;

// The splitmix64 generator: cheap enough to fill megabytes under a sanitizer.
uint64_t NextRandom(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Widely different magnitudes: another order of additions gives other bits.
Values RandomValues(size_t count, int rank) {
  uint64_t state = 1000 * count + rank;
  Values values(count);
  for (float& value : values) {
    const uint64_t random = NextRandom(state);
    const uint32_t sign = random >> 63;
    const uint32_t exponent = 107 + (random >> 32) % 40;  // 2^-20 to 2^19
    const uint32_t mantissa = random & 0x7fffff;
    value = std::bit_cast<float>(sign << 31 | exponent << 23 | mantissa);
  }
  return values;
}

// ((0 + 1) + (2 + 3)) + …, as the contract says it.
Values TreeSum(std::vector<Values> partials) {
  while (partials.size() > 1) {
    std::vector<Values> next;
    for (size_t i = 0; i < partials.size(); i += 2) {
      for (size_t k = 0; k < partials[i].size(); ++k) {
        partials[i][k] = partials[i][k] + partials[i + 1][k];
      }
      next.push_back(std::move(partials[i]));
    }
    partials = std::move(next);
  }
  return partials[0];
}

Values ReferenceSum(size_t count, int world_size) {
  std::vector<Values> partials;
  for (int rank = 0; rank < world_size; ++rank) {
    partials.push_back(RandomValues(count, rank));
  }
  return TreeSum(std::move(partials));
}

bool SameBits(const Values& a, const Values& b) {
  return a.size() == b.size() &&
         (a.empty() ||
          std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

std::vector<uint8_t> RandomBytes(size_t count, uint32_t seed) {
  uint64_t state = seed;
  std::vector<uint8_t> bytes((count + 7) / 8 * 8);
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t random = NextRandom(state);
    std::memcpy(bytes.data() + i, &random, sizeof(random));
  }
  bytes.resize(count);
  return bytes;
}

using Case = std::tuple<CommKind, int>;

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return absl::StrCat(CommKindName(std::get<0>(info.param)),
                      std::get<1>(info.param));
}

class CommunicatorTest : public testing::TestWithParam<Case> {
 protected:
  CommKind kind() const { return std::get<0>(GetParam()); }
  int world_size() const { return std::get<1>(GetParam()); }
  void Run(const std::function<void(Communicator&)>& body) {
    RunRanks(kind(), world_size(), body);
  }
};

// Every size for which sums are not promised.
class AnySizeTest : public CommunicatorTest {};

INSTANTIATE_TEST_SUITE_P(InProcess, CommunicatorTest,
                         testing::Values(Case(CommKind::kInProcess, 1)),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Host, CommunicatorTest,
                         testing::Combine(testing::ValuesIn(kHostCommKinds),
                                          testing::Values(1, 2, 4, 8)),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(InProcess, AnySizeTest,
                         testing::Values(Case(CommKind::kInProcess, 1)),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Host, AnySizeTest,
                         testing::Combine(testing::ValuesIn(kHostCommKinds),
                                          testing::Values(1, 2, 3, 4, 5, 8)),
                         CaseName);

TEST_P(CommunicatorTest, AllReduceSumHasTheBitsOfTheTreeForEverySize) {
  // Around the ring's piece and size, and around the change of algorithm.
  const std::vector<size_t> sizes = {
      0, 1, 2, 3, 7, 1001, 2047, 2048, 16384, 16385, 65537, 99999, 1 << 20};
  std::vector<Values> expected;
  for (size_t size : sizes)
    expected.push_back(ReferenceSum(size, world_size()));
  Run([&](Communicator& comm) {
    EXPECT_EQ(comm.size(), world_size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      Values values = RandomValues(sizes[i], comm.rank());
      ASSERT_OK(comm.AllReduceSum(absl::MakeSpan(values)));
      EXPECT_TRUE(SameBits(values, expected[i]))
          << sizes[i] << " floats on rank " << comm.rank();
    }
  });
}

TEST_P(CommunicatorTest, ThousandsOfSmallSumsInARowStayInStep) {
  Run([&](Communicator& comm) {
    for (int i = 0; i < 2000; ++i) {
      Values values(1 + i % 130, static_cast<float>(comm.rank() + i));
      ASSERT_OK(comm.AllReduceSum(absl::MakeSpan(values)));
      const int n = comm.size();
      ASSERT_EQ(values, Values(values.size(),
                               static_cast<float>(n * (n - 1) / 2 + n * i)))
          << i;
    }
  });
}

TEST_P(AnySizeTest, AllGatherOrdersBlocksByRank) {
  Run([&](Communicator& comm) {
    for (size_t bytes : {0, 1, 13, 4096, 1000003}) {
      const auto block = RandomBytes(bytes, comm.rank());
      std::vector<uint8_t> all(bytes * comm.size());
      ASSERT_OK(comm.AllGather(block, absl::MakeSpan(all)));
      std::vector<uint8_t> expected;
      for (int rank = 0; rank < comm.size(); ++rank) {
        const auto part = RandomBytes(bytes, rank);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      EXPECT_TRUE(all == expected) << bytes << " bytes, rank " << comm.rank();
    }
  });
}

TEST_P(AnySizeTest, AllGatherMayFindItsBlockInPlace) {
  Run([&](Communicator& comm) {
    std::vector<uint8_t> all(comm.size() * 5);
    const auto own = absl::MakeSpan(all).subspan(comm.rank() * 5, 5);
    std::fill(own.begin(), own.end(), static_cast<uint8_t>(comm.rank() + 1));
    ASSERT_OK(comm.AllGather(own, absl::MakeSpan(all)));
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], i / 5 + 1);
  });
}

TEST_P(AnySizeTest, BroadcastReachesEveryRankFromEveryRoot) {
  Run([&](Communicator& comm) {
    for (int root = 0; root < comm.size(); ++root) {
      for (size_t bytes : {0, 1, 5000, 700001}) {
        const auto expected = RandomBytes(bytes, root + 100);
        std::vector<uint8_t> got = expected;
        if (comm.rank() != root) got.assign(bytes, 0);
        ASSERT_OK(comm.Broadcast(absl::MakeSpan(got), root));
        EXPECT_TRUE(got == expected) << bytes << " bytes from " << root;
      }
    }
  });
}

TEST_P(AnySizeTest, MessagesTravelAroundARing) {
  if (world_size() == 1) GTEST_SKIP() << "one rank has no peer";
  Run([&](Communicator& comm) {
    const int next = (comm.rank() + 1) % comm.size();
    const int previous = (comm.rank() + comm.size() - 1) % comm.size();
    // Larger than any buffer: the ranks take turns, even ones send first. The
    // last rank of an odd ring receives from an even one, so it works out.
    for (size_t bytes : {0, 1, 17, 30000, 2500001}) {
      const auto sent = RandomBytes(bytes, comm.rank());
      std::vector<uint8_t> got(bytes);
      if (comm.rank() % 2 == 0) {
        ASSERT_OK(comm.Send(sent, next));
        ASSERT_OK(comm.Recv(absl::MakeSpan(got), previous));
      } else {
        ASSERT_OK(comm.Recv(absl::MakeSpan(got), previous));
        ASSERT_OK(comm.Send(sent, next));
      }
      EXPECT_TRUE(got == RandomBytes(bytes, previous)) << bytes;
    }
  });
}

TEST_P(CommunicatorTest, GroupsOfASplitSumAmongThemselves) {
  if (world_size() < 4) GTEST_SKIP() << "needs two groups of two";
  Run([&](Communicator& world) {
    // Neighbours on one host, and ranks that a mixed world keeps apart.
    const int half = world.size() / 2;
    std::vector<int> near, far;
    for (int i = 0; i < half; ++i) {
      near.push_back(world.rank() / half * half + i);
      far.push_back(world.rank() % 2 + 2 * i);
    }
    for (const std::vector<int>& ranks : {near, far}) {
      auto group = world.Split(ranks);
      ASSERT_TRUE(group.ok()) << group.status();
      ASSERT_EQ((*group)->size(), half);
      EXPECT_EQ(ranks[(*group)->rank()], world.rank());
      std::vector<Values> partials;
      for (int rank : ranks) partials.push_back(RandomValues(30001, rank));
      Values values = RandomValues(30001, world.rank());
      ASSERT_OK((*group)->AllReduceSum(absl::MakeSpan(values)));
      EXPECT_TRUE(SameBits(values, TreeSum(std::move(partials))));

      // The world goes on between calls of the group.
      Values ones(3, 1.0f);
      ASSERT_OK(world.AllReduceSum(absl::MakeSpan(ones)));
      EXPECT_EQ(ones, Values(3, static_cast<float>(world.size())));

      // And a group splits again.
      auto alone = (*group)->Split({(*group)->rank()});
      ASSERT_TRUE(alone.ok()) << alone.status();
      Values same = {1, 2};
      ASSERT_OK((*alone)->AllReduceSum(absl::MakeSpan(same)));
      EXPECT_EQ(same, (Values{1, 2}));
    }
  });
}

TEST_P(CommunicatorTest, AbortIsTheStatusOfEveryLaterCallAndOfEveryGroup) {
  std::barrier all_formed(world_size());
  Run([&](Communicator& comm) {
    auto group = comm.Split([&] {
      std::vector<int> all;
      for (int rank = 0; rank < comm.size(); ++rank) all.push_back(rank);
      return all;
    }());
    ASSERT_TRUE(group.ok()) << group.status();
    // Who still waits for a peer would hear of its abort first.
    all_formed.arrive_and_wait();
    comm.Abort(absl::CancelledError("enough"));
    Values values(3);
    std::vector<uint8_t> byte(1), all(comm.size());
    const absl::Status expected = absl::CancelledError("enough");
    for (Communicator* each : {&comm, group->get()}) {
      EXPECT_EQ(each->AllReduceSum(absl::MakeSpan(values)), expected);
      EXPECT_EQ(each->AllGather(byte, absl::MakeSpan(all)), expected);
      EXPECT_EQ(each->Broadcast(absl::MakeSpan(byte), 0), expected);
      EXPECT_EQ(each->Split({each->rank()}).status(), expected);
    }
  });
}

}  // namespace
}  // namespace facet
