#include "kernels/sampling/draw_row.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/sampling/mass.h"
#include "kernels/sampling/sampling.h"

namespace facet {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// As ranks do it: each has a run of the vocabulary.
int32_t DrawInRuns(const std::vector<float>& logits, int runs,
                   const DrawOptions& options) {
  const Softmax softmax = {TopLogits(logits, 0, 1)[0].logit,
                           options.temperature};
  std::vector<absl::Span<const float>> run;
  for (int r = 0; r < runs; ++r) {
    const size_t begin = logits.size() * r / runs;
    const size_t end = logits.size() * (r + 1) / runs;
    run.push_back(absl::MakeConstSpan(logits).subspan(begin, end - begin));
  }
  std::vector<uint64_t> kept(runs);
  uint64_t total = 0;
  for (int r = 0; r < runs; ++r) {
    const RowMass mass = MassOf(run[r], softmax, options.min_p);
    kept[r] = mass.heavy;
    total += mass.all;
  }
  std::vector<RowCut> cuts(runs, {.min_weight = options.min_p});
  if (options.top_p < 1) {
    NucleusSearch search(softmax,
                         std::max<uint64_t>(1, ShareOf(total, options.top_p)),
                         total, static_cast<int64_t>(logits.size()));
    for (int digit = 0; digit < NucleusSearch::kDigits; ++digit) {
      std::vector<uint64_t> mass(runs * NucleusSearch::kDigitValues);
      for (int r = 0; r < runs; ++r) {
        search.AddMassByDigit(run[r], absl::MakeSpan(mass).subspan(
                                          r * NucleusSearch::kDigitValues,
                                          NucleusSearch::kDigitValues));
      }
      search.Narrow(mass);
    }
    const float weight = WeightOf(search.threshold(), softmax);
    if (weight >= options.min_p) {
      uint64_t left = search.ties_kept();
      for (int r = 0; r < runs; ++r) {
        const uint64_t ties = std::min(left, search.ties()[r]);
        left -= ties;
        kept[r] = search.mass_above()[r] + ties * ToMass(weight);
        cuts[r] = {search.threshold(), ties, 0};
      }
      EXPECT_EQ(left, 0u);
    }
  }
  uint64_t all = 0;
  for (uint64_t mass : kept) all += mass;
  uint64_t point = PointIn(all, RandomBitsAt(options.seed, options.position));
  for (int r = 0; r < runs; ++r) {
    if (point < kept[r]) {
      return static_cast<int32_t>(run[r].data() - logits.data() +
                                  WalkTo(point, run[r], softmax, cuts[r]));
    }
    point -= kept[r];
  }
  ADD_FAILURE() << "the point lies behind the vocabulary";
  return -1;
}

class DrawRowTest : public testing::TestWithParam<SamplingVariant> {
 protected:
  DrawRowTest() { SetActiveIsaForTest(GetParam().isa); }
  ~DrawRowTest() override { SetActiveIsaForTest(BestIsa()); }
};

// Against the definition: sort everything.
void ExpectDrawsAsFromTheSorted(const std::vector<float>& logits) {
  const std::vector<TokenLogit> sorted =
      TopLogits(logits, 0, static_cast<int>(logits.size()));
  DrawOptions options;
  options.seed = 7;
  for (float temperature : {0.01f, 0.8f, 2.0f, 1000.0f}) {
    options.temperature = temperature;
    for (float top_p : {1e-6f, 0.5f, 0.95f, 0.9999f, 1.0f}) {
      options.top_p = top_p;
      for (float min_p : {0.0f, 0.01f, 0.5f}) {
        options.min_p = min_p;
        for (options.position = 0; options.position < 4; ++options.position) {
          const int32_t want = Draw(sorted, options);
          for (int runs : {1, 2, 3, 8}) {
            ASSERT_EQ(DrawInRuns(logits, runs, options), want)
                << logits.size() << " tokens in " << runs << " runs at "
                << temperature << " top_p " << top_p << " min_p " << min_p;
          }
        }
      }
    }
  }
}

TEST_P(DrawRowTest, DrawsWhatTheSortedVocabularyGives) {
  for (int count : {8, 100, 4096, 10000}) {
    std::mt19937 random(count);
    std::normal_distribution<float> normal(0.0f, 4.0f);
    std::vector<float> logits(count);
    for (float& v : logits) v = normal(random);
    ExpectDrawsAsFromTheSorted(logits);
  }
}

// Few distinct values, so the nucleus ends among equals.
TEST_P(DrawRowTest, TiesAtTheEndOfTheNucleusGoToTheLowerToken) {
  std::mt19937 random(3);
  std::vector<float> logits(9000);
  for (float& v : logits) v = static_cast<float>(random() % 5) - 2.0f;
  ExpectDrawsAsFromTheSorted(logits);
  ExpectDrawsAsFromTheSorted(std::vector<float>(1000, -3.0f));
}

TEST_P(DrawRowTest, ForbiddenTokensHaveNoPart) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0.0f, 4.0f);
  std::vector<float> logits(9000);
  for (float& v : logits) v = random() % 3 == 0 ? normal(random) : kNaN;
  ExpectDrawsAsFromTheSorted(logits);
  std::vector<float> one(5000, kNaN);
  one[4321] = -7.0f;
  ExpectDrawsAsFromTheSorted(one);
}

INSTANTIATE_TEST_SUITE_P(AllVariants, DrawRowTest,
                         testing::ValuesIn(SamplingVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace facet
