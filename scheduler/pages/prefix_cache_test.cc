#include "scheduler/pages/prefix_cache.h"

#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr int kPageTokens = 2;
using Prefix = std::vector<int32_t>;

// Every prefix beside its pages, looked up by comparing tokens.
struct NaiveCache {
  std::map<Prefix, PagePair> pages;
  int window = 0;

  bool CanBeginBehind(const Prefix& tokens, int64_t count) const {
    const int64_t first_seen =
        std::max<int64_t>(0, count * kPageTokens - window + 1);
    for (int64_t page = 0; page < count; ++page) {
      const auto found = pages.find(
          Prefix(tokens.begin(), tokens.begin() + (page + 1) * kPageTokens));
      if (found == pages.end()) return false;
      const bool seen = (page + 1) * kPageTokens > first_seen;
      if (seen && found->second.sliding == kNoPage) return false;
    }
    return true;
  }
  int64_t Longest(const Prefix& tokens, int64_t most) const {
    while (!CanBeginBehind(tokens, most)) --most;
    return most;
  }
};

TEST(PrefixCacheTest, AgreesWithANaiveModelOverRandomOperations) {
  constexpr int kPages = 30;
  for (const int window : {1, 2, 3, 6, 100}) {
    const int seed = window;
    std::mt19937 random(seed);
    PrefixCache cache({kPageTokens, kPages, kPages}, window);
    NaiveCache naive;
    naive.window = window;
    const auto sequence = [&] {
      // Few different tokens, so that prefixes meet.
      Prefix tokens(2 + random() % 16);
      for (int32_t& token : tokens) token = random() % 8 == 0;
      return tokens;
    };
    std::vector<Prefix> global_owner(kPages), sliding_owner(kPages);
    for (int operation = 0; operation < 10000; ++operation) {
      SCOPED_TRACE(testing::Message()
                   << "window and seed " << seed << ", " << operation);
      const Prefix tokens = sequence();
      const int64_t full = static_cast<int64_t>(tokens.size()) / kPageTokens;
      PageKeys keys("");
      const PageId global = {static_cast<int32_t>(random() % kPages)};
      const PageId sliding = {static_cast<int32_t>(random() % kPages)};
      switch (random() % 5) {
        case 0:
        case 1: {  // the page behind the prefix that is known
          const int64_t page = naive.Longest(tokens, full);
          if (page == full || !global_owner[global.value].empty()) break;
          PagePair pair = {global, kNoPage};
          if (sliding_owner[sliding.value].empty()) pair.sliding = sliding;
          const Prefix prefix(tokens.begin(),
                              tokens.begin() + (page + 1) * kPageTokens);
          PagePair& known = naive.pages[prefix];
          PagePair expected;
          if (known.global == kNoPage) {
            known.global = expected.global = pair.global;
            global_owner[global.value] = prefix;
          }
          if (known.sliding == kNoPage && !(pair.sliding == kNoPage)) {
            known.sliding = expected.sliding = pair.sliding;
            sliding_owner[sliding.value] = prefix;
          }
          const PagePair added =
              cache.Insert(keys.Of(page, tokens, kPageTokens), pair);
          ASSERT_EQ(added.global, expected.global);
          ASSERT_EQ(added.sliding, expected.sliding);
          break;
        }
        case 2: {
          Prefix& owner = global_owner[global.value];
          if (owner.empty() || random() % 3 != 0) break;
          const PageId with_it = naive.pages.at(owner).sliding;
          ASSERT_EQ(cache.ForgetGlobal(global), with_it);
          if (!(with_it == kNoPage)) sliding_owner[with_it.value].clear();
          naive.pages.erase(owner);
          owner.clear();
          break;
        }
        case 3: {
          Prefix& owner = sliding_owner[sliding.value];
          if (owner.empty() || random() % 3 != 0) break;
          cache.ForgetSliding(sliding);
          naive.pages.at(owner).sliding = kNoPage;
          owner.clear();
          break;
        }
        case 4: {
          const int64_t most = random() % (full + 1);
          const int64_t longest = cache.LongestPrefix(&keys, tokens, most);
          ASSERT_EQ(longest, naive.Longest(tokens, most));
          for (int64_t page = 0; page < longest; ++page) {
            const Prefix prefix(tokens.begin(),
                                tokens.begin() + (page + 1) * kPageTokens);
            const PagePair pair =
                cache.Pages(keys.Of(page, tokens, kPageTokens));
            ASSERT_EQ(pair.global, naive.pages.at(prefix).global);
            ASSERT_EQ(pair.sliding, naive.pages.at(prefix).sliding);
          }
          break;
        }
      }
      ASSERT_EQ(cache.keys(), static_cast<int64_t>(naive.pages.size()));
    }
  }
}

}  // namespace
}  // namespace facet
