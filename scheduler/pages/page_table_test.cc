#include "scheduler/pages/page_table.h"

#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr KvPoolSizes kSizes = {
    .page_tokens = 4, .sliding_pages = 60, .global_pages = 120};
constexpr int64_t kMaxChunk = 13;

// A sequence and its worker's tables, worked out from scratch.
struct NaiveSequence {
  std::vector<int32_t> tokens;
  SequencePages pages;
  int64_t computed = 0;
  std::map<int64_t, int> sliding;  // page index to page id
  std::map<int64_t, int> global;
};

// The page indices that queries at [start, end) can see.
std::set<int64_t> SeenPages(int64_t start, int64_t end, int window) {
  std::set<int64_t> pages;
  for (int64_t query = start; query < end; ++query) {
    for (int64_t key = std::max<int64_t>(0, query - window + 1); key <= query;
         ++key) {
      pages.insert(key / kSizes.page_tokens);
    }
  }
  return pages;
}

class World {
 public:
  World(int window, int seed)
      : window_(window), random_(seed), table_(kSizes, window) {}

  void Operate() {
    if (sequences_.empty() || random_() % 20 == 0) AddOne();
    auto chosen = sequences_.begin();
    std::advance(chosen, random_() % sequences_.size());
    if (random_() % 12 == 0 || !GoOn(&chosen->second)) {
      table_.Release(&chosen->second.pages);
      sequences_.erase(chosen);
    }
    CheckPools();
  }

  void CheckEmpty() {
    for (auto& [id, sequence] : sequences_) table_.Release(&sequence.pages);
    EXPECT_EQ(table_.sliding().held(), 0);
    EXPECT_EQ(table_.global().held(), 0);
    EXPECT_EQ(table_.global().available(), kSizes.global_pages);
    table_.Forget();
    EXPECT_EQ(table_.sliding().blank(), kSizes.sliding_pages);
    EXPECT_EQ(table_.global().blank(), kSizes.global_pages);
  }

  int64_t shared() const { return shared_; }

 private:
  // Begins behind what another had in common with it.
  void AddOne() {
    NaiveSequence& sequence = sequences_[next_id_++];
    sequence.tokens.resize(10 + random_() % 150);
    for (size_t i = 0; i < sequence.tokens.size(); ++i) {
      sequence.tokens[i] =
          i < 40 || random_() % 60 != 0 ? static_cast<int32_t>(i) : 1000;
    }
    const int64_t most =
        (static_cast<int64_t>(sequence.tokens.size()) - 1) / kSizes.page_tokens;
    const int64_t before_sliding = table_.sliding().available();
    const int64_t before_global = table_.global().available();
    const CachedPrefix prefix =
        table_.FindPrefix(&sequence.pages.keys, sequence.tokens, most);
    table_.Share(prefix, sequence.tokens, &sequence.pages);
    ASSERT_EQ(before_sliding - table_.sliding().available(),
              prefix.idle.sliding);
    ASSERT_EQ(before_global - table_.global().available(), prefix.idle.global);
    sequence.computed = prefix.pages * kSizes.page_tokens;
    shared_ += prefix.pages;
    GoOn(&sequence);
  }

  // False: there is no room.
  bool GoOn(NaiveSequence* sequence) {
    SequenceSlice slice;
    slice.start = sequence->computed;
    const int64_t left =
        static_cast<int64_t>(sequence->tokens.size()) - slice.start;
    if (left == 0) return false;
    const int64_t count = std::min<int64_t>(left, 1 + random_() % kMaxChunk);
    const int64_t end = slice.start + count;
    slice.tokens.assign(sequence->tokens.begin() + slice.start,
                        sequence->tokens.begin() + end);
    if (sequence->global.empty()) slice.begins.emplace();
    const PageDemand needed =
        table_.StillNeeded(sequence->pages, end, kMaxChunk);
    if (!table_.CanGrant(sequence->pages, slice.start, count)) {
      EXPECT_FALSE(needed.FitsIn(table_.available()));
      return false;
    }
    table_.Grant(&sequence->pages, &slice);

    // As a worker would: drop, then append.
    auto& sliding = sequence->sliding;
    sliding.erase(sliding.begin(),
                  sliding.lower_bound(slice.sliding_first_page));
    int64_t index = slice.begins.has_value()
                        ? slice.sliding_first_page
                        : table_.geometry().PagesOf(slice.start);
    for (const PageId page : slice.new_sliding_pages) {
      sliding[index++] = page.value;
    }
    for (const PageId page : slice.new_global_pages) {
      sequence->global[sequence->global.size()] = page.value;
    }

    // Holds what its queries see and no page in front of it.
    std::set<int64_t> held;
    for (const auto& [i, page] : sliding) held.insert(i);
    EXPECT_EQ(held, SeenPages(slice.start, end, window_));
    EXPECT_EQ(static_cast<int64_t>(sequence->global.size()),
              table_.geometry().PagesOf(end));
    const PageDemand most = table_.geometry().MostPages(end, kMaxChunk);
    EXPECT_LE(static_cast<int64_t>(sliding.size()), most.sliding);

    // What it writes is its own.
    for (int64_t i = slice.start / kSizes.page_tokens;
         i < table_.geometry().PagesOf(end); ++i) {
      EXPECT_EQ(table_.sliding().holders(PageId{sliding.at(i)}), 1);
      EXPECT_EQ(table_.global().holders(PageId{sequence->global.at(i)}), 1);
      WriteTo(&sliding_holds_, sliding.at(i), *sequence, i);
      WriteTo(&global_holds_, sequence->global.at(i), *sequence, i);
    }
    // What it reads of others is what it would have written.
    for (const auto& [i, page] : sliding) {
      CheckHolds(sliding_holds_, page, *sequence, i);
    }
    for (const auto& [i, page] : sequence->global) {
      CheckHolds(global_holds_, page, *sequence, i);
    }
    sequence->computed = end;
    if (random_() % 3 != 0) {
      table_.Offer(sequence->tokens, sequence->computed, &sequence->pages);
    }
    return true;
  }

  using Contents = std::map<int, std::vector<int32_t>>;

  std::vector<int32_t> PrefixOf(const NaiveSequence& sequence, int64_t page) {
    const int64_t end =
        std::min<int64_t>((page + 1) * kSizes.page_tokens,
                          static_cast<int64_t>(sequence.tokens.size()));
    return {sequence.tokens.begin(), sequence.tokens.begin() + end};
  }
  void WriteTo(Contents* contents, int page, const NaiveSequence& sequence,
               int64_t index) {
    (*contents)[page] = PrefixOf(sequence, index);
  }
  void CheckHolds(const Contents& contents, int page,
                  const NaiveSequence& sequence, int64_t index) {
    EXPECT_EQ(contents.at(page), PrefixOf(sequence, index));
  }

  // Each page counts its holders, and none is lost.
  void CheckPools() {
    std::map<int, int> sliding, global;
    for (const auto& [id, s] : sequences_) {
      for (const PageId page : s.pages.sliding) ++sliding[page.value];
      for (const PageId page : s.pages.global) ++global[page.value];
    }
    for (int32_t i = 0; i < kSizes.sliding_pages; ++i) {
      ASSERT_EQ(table_.sliding().holders(PageId{i}), sliding[i]);
    }
    for (int32_t i = 0; i < kSizes.global_pages; ++i) {
      ASSERT_EQ(table_.global().holders(PageId{i}), global[i]);
    }
  }

  const int window_;
  std::mt19937 random_;
  PageTable table_;
  std::map<uint64_t, NaiveSequence> sequences_;
  uint64_t next_id_ = 1;
  int64_t shared_ = 0;
  Contents sliding_holds_;
  Contents global_holds_;
};

TEST(PageTableTest, AgreesWithANaiveModelOverRandomOperations) {
  for (const int window : {1, 3, 4, 9, 24}) {
    const int seed = 100 + window;
    SCOPED_TRACE(testing::Message() << "window " << window << " seed " << seed);
    World world(window, seed);
    for (int operation = 0; operation < 10000; ++operation) {
      world.Operate();
      ASSERT_FALSE(testing::Test::HasFailure()) << "operation " << operation;
    }
    EXPECT_GT(world.shared(), 100);
    world.CheckEmpty();
  }
}

// One sequence of `tokens`, computed and offered in one step.
SequencePages Compute(PageTable* table, const std::vector<int32_t>& tokens) {
  SequencePages pages;
  SequenceSlice slice;
  slice.tokens = tokens;
  slice.begins.emplace();
  table->Grant(&pages, &slice);
  table->Offer(tokens, static_cast<int64_t>(tokens.size()), &pages);
  return pages;
}

TEST(PageTableTest, TheEndOfAPrefixIsForgottenBeforeItsBeginning) {
  PageTable table({.page_tokens = 1, .sliding_pages = 8, .global_pages = 8},
                  /*sliding_window=*/100);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6};
  SequencePages pages = Compute(&table, tokens);
  table.Release(&pages);
  SequencePages others = Compute(&table, {7, 8, 9, 10});  // two of them remain
  PageKeys keys;
  EXPECT_EQ(table.FindPrefix(&keys, tokens, 6).pages, 4);
}

TEST(PageTableTest, WhatWasSharedLastIsForgottenLast) {
  PageTable table({.page_tokens = 1, .sliding_pages = 6, .global_pages = 6},
                  /*sliding_window=*/100);
  SequencePages first = Compute(&table, {1, 2});
  SequencePages second = Compute(&table, {3, 4});
  table.Release(&first);
  table.Release(&second);
  PageKeys keys;
  SequencePages again;
  table.Share(table.FindPrefix(&keys, {1, 2}, 2), {1, 2}, &again);
  table.Release(&again);
  Compute(&table, {5, 6, 7, 8});
  PageKeys first_keys, second_keys;
  EXPECT_EQ(table.FindPrefix(&first_keys, {1, 2}, 2).pages, 2);
  EXPECT_EQ(table.FindPrefix(&second_keys, {3, 4}, 2).pages, 0);
}

TEST(PageTableTest, PagesBehindTheWindowAreFreeAndStillCached) {
  PageTable table({.page_tokens = 2, .sliding_pages = 10, .global_pages = 20},
                  /*sliding_window=*/4);
  std::vector<int32_t> tokens;
  SequencePages pages;
  for (int64_t i = 0; i < 16; ++i) {
    tokens.push_back(static_cast<int32_t>(i));
    SequenceSlice slice;
    slice.start = i;
    slice.tokens = {tokens.back()};
    if (i == 0) slice.begins.emplace();
    table.Grant(&pages, &slice);
    table.Offer(tokens, i + 1, &pages);
    EXPECT_LE(table.sliding().held(), 3);
  }
  EXPECT_EQ(table.sliding().cached(), 8 - table.sliding().held());
  PageKeys keys;
  EXPECT_EQ(table.FindPrefix(&keys, tokens, 3).pages, 3);
}

}  // namespace
}  // namespace facet
