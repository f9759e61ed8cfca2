#include "runtime/plan/stage_cuts.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/base/check.h"
#include "runtime/plan/weight_bytes.h"

namespace facet {
namespace {

// prefix[i]: bytes of the layers before begins[i]; the last entry holds all
// layers and the head. So a stage of runs [i, j) weighs prefix[j] - prefix[i].
std::vector<int64_t> PrefixBytes(const ModelConfig& model,
                                 const std::vector<int>& begins) {
  std::vector<int64_t> prefix;
  int64_t sum = 0;
  size_t next = 0;
  for (int layer = 0; layer < model.num_layers(); ++layer) {
    if (next < begins.size() && begins[next] == layer) {
      prefix.push_back(sum);
      ++next;
    }
    sum += LayerWeightBytes(model, layer, WholeLayer(model, layer));
  }
  prefix.push_back(sum + HeadWeightBytes(model, model.vocab_size));
  return prefix;
}

// The least weight of the heaviest of `stages` runs that cover `prefix`.
int64_t LightestCap(const std::vector<int64_t>& prefix, int stages) {
  int64_t low = 0;
  for (size_t i = 1; i < prefix.size(); ++i) {
    low = std::max(low, prefix[i] - prefix[i - 1]);
  }
  int64_t high = prefix.back();
  while (low < high) {
    const int64_t cap = low + (high - low) / 2;
    int used = 1;
    int64_t begin = 0;
    for (size_t i = 1; i < prefix.size(); ++i) {
      if (prefix[i] - begin <= cap) continue;
      begin = prefix[i - 1];
      ++used;
    }
    if (used <= stages) {
      high = cap;
    } else {
      low = cap + 1;
    }
  }
  return low;
}

}  // namespace

std::vector<int> LegalStageBegins(const ModelConfig& model) {
  // From the back: the earliest layer that any layer from here on reads.
  std::vector<int> begins;
  int earliest = model.num_layers();
  for (int layer = model.num_layers() - 1; layer >= 0; --layer) {
    earliest = std::min(earliest, model.layers[layer].kv_source);
    if (earliest >= layer) begins.push_back(layer);
  }
  std::reverse(begins.begin(), begins.end());
  return begins;
}

std::vector<int> BalanceStages(const ModelConfig& model, int stages) {
  const std::vector<int> begins = LegalStageBegins(model);
  const int runs = static_cast<int>(begins.size());
  FACET_CHECK(1 <= stages && stages <= runs);
  const std::vector<int64_t> prefix = PrefixBytes(model, begins);
  const int64_t cap = LightestCap(prefix, stages);

  // cost[s][j]: least sum of squares of s stages over runs [0, j), none above
  // the cap; from[s][j]: where the last of them begins.
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> cost(stages + 1,
                                        std::vector<double>(runs + 1, kNever));
  std::vector<std::vector<int>> from(stages + 1,
                                     std::vector<int>(runs + 1, -1));
  cost[0][0] = 0;
  for (int s = 1; s <= stages; ++s) {
    for (int j = s; j <= runs; ++j) {
      for (int i = j - 1; i >= s - 1 && prefix[j] - prefix[i] <= cap; --i) {
        const double bytes = static_cast<double>(prefix[j] - prefix[i]);
        const double sum = cost[s - 1][i] + bytes * bytes;
        if (sum < cost[s][j]) {
          cost[s][j] = sum;
          from[s][j] = i;
        }
      }
    }
  }

  std::vector<int> layers(stages);
  int end = runs;
  for (int s = stages; s >= 1; --s) {
    const int begin = from[s][end];
    FACET_CHECK(begin >= 0);
    const int last_layer = end == runs ? model.num_layers() : begins[end];
    layers[s - 1] = last_layer - begins[begin];
    end = begin;
  }
  return layers;
}

}  // namespace facet
