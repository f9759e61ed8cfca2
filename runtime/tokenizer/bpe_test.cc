#include "runtime/tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "runtime/tokenizer/vocabulary.h"

namespace facet {
namespace {

// A random vocabulary over a few letters, some of them outside ASCII, and every
// way to make a piece out of two others.
struct Problem {
  explicit Problem(uint32_t seed, int pieces, bool byte_merges) : random(seed) {
    std::set<std::string> known;
    const auto add = [&](const std::string& spelling) {
      if (known.insert(spelling).second) spellings.push_back(spelling);
    };
    for (int byte = 0; byte < 256; ++byte) {
      char spelling[8];
      snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
      add(spelling);
    }
    const size_t letters_at = spellings.size();
    for (const char* letter : {"a", "b", "\u2581", "é", "𝄞", "\n"}) add(letter);
    if (byte_merges) add("<0xE2><0x98>");
    while (static_cast<int>(spellings.size()) < 262 + pieces) {
      const size_t count = spellings.size() - letters_at;
      add(spellings[letters_at + random() % count] +
          spellings[letters_at + random() % count]);
    }
    std::map<std::string, int32_t> ids;
    std::vector<absl::string_view> views;
    for (const std::string& spelling : spellings) {
      ids[spelling] = static_cast<int32_t>(views.size());
      views.push_back(spelling);
    }
    vocabulary = Vocabulary(views);
    for (const auto& [spelling, id] : ids) {
      for (size_t cut = 1; cut < spelling.size(); ++cut) {
        const auto left = ids.find(spelling.substr(0, cut));
        const auto right = ids.find(spelling.substr(cut));
        if (left != ids.end() && right != ids.end()) {
          merges.push_back({left->second, right->second, id, 0});
        }
      }
    }
    std::shuffle(merges.begin(), merges.end(), random);
    for (size_t i = 0; i < merges.size(); ++i) {
      merges[i].rank = static_cast<uint32_t>(i);
    }
  }

  // The definition, word for word.
  std::vector<int32_t> Naive(std::vector<int32_t> ids) const {
    while (true) {
      const Merge* best = nullptr;
      size_t best_at = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        for (const Merge& merge : merges) {
          if (merge.left == ids[i] && merge.right == ids[i + 1] &&
              (best == nullptr || merge.rank < best->rank)) {
            best = &merge;
            best_at = i;
          }
        }
      }
      if (best == nullptr) return ids;
      ids[best_at] = best->merged;
      ids.erase(ids.begin() + best_at + 1);
    }
  }

  std::mt19937 random;
  std::vector<std::string> spellings;
  Vocabulary vocabulary;
  std::vector<Merge> merges;
};

void CheckAgainstDefinition(uint32_t seed, bool byte_merges) {
  Problem problem(seed, /*pieces=*/5 + seed % 40, byte_merges);
  const Bpe bpe(problem.vocabulary, problem.merges);
  // "☃" and "x" are not in the vocabulary and fall back to bytes.
  const std::vector<std::string> letters = {"a", "b",  " ", "é",
                                            "𝄞", "\n", "☃", "x"};
  for (int length : {0, 1, 2, 3, 7, 30, 33, 34, 100, 257}) {
    std::string text;
    std::vector<int32_t> symbols;
    for (int i = 0; i < length; ++i) {
      const std::string& letter = letters[problem.random() % letters.size()];
      text += letter;
      const int32_t id =
          problem.vocabulary.Find(letter == " " ? "\u2581" : letter);
      if (id >= 0) {
        symbols.push_back(id);
      } else {
        for (unsigned char byte : letter) symbols.push_back(byte);
      }
    }
    std::vector<int32_t> ids;
    bpe.Encode(text, &ids);
    EXPECT_EQ(ids, problem.Naive(symbols)) << "seed " << seed << ": " << text;
  }
}

TEST(BpeTest, MergesTheLowestRankFirstAndTheLeftmostAmongEquals) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    CheckAgainstDefinition(seed, /*byte_merges=*/false);
  }
}

TEST(BpeTest, AMergeOfByteTokensReachesAcrossCharacters) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    CheckAgainstDefinition(seed, /*byte_merges=*/true);
  }
}

TEST(BpeTest, OfTwoMergesOfOnePairTheLastCounts) {
  Problem problem(1, 1, false);
  const Merge merge = problem.merges[0];
  const Bpe bpe(problem.vocabulary, {{merge.left, merge.right, 7, 0}, merge});
  std::vector<int32_t> ids;
  bpe.Encode(problem.spellings[merge.merged], &ids);
  EXPECT_EQ(ids, std::vector<int32_t>{merge.merged});
}

}  // namespace
}  // namespace facet
