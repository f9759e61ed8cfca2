// Where the pairs of token and expert lie on a device, and in which order their
// outputs are added; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_EXPERTS_EXPERTS_CUDA_PLAN_H_
#define FACET_KERNELS_EXPERTS_EXPERTS_CUDA_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/host_device.h"

namespace facet {

// Pairs [first, first + count) of one expert: what a block multiplies together.
struct ExpertTile {
  int32_t expert = 0;
  int32_t first = 0;
  int32_t count = 0;
};

struct ExpertPairs {
  int64_t tokens = 0;
  int experts_per_token = 0;  // K
  int32_t experts = 0;        // at hand
  int32_t first_expert = 0;
  int replicas = 1;
  int replica = 0;

  int32_t* active = nullptr;   // [1 + experts]: how many have pairs, and which
  int32_t* begin = nullptr;    // [experts + 1]: their pairs
  int32_t* rows = nullptr;     // [pairs]: the token
  float* weights = nullptr;    // [pairs]
  int32_t* pair_of = nullptr;  // [tokens, K]; -1: not at hand
  int32_t* counts = nullptr;   // [chunks of choices, experts]: their pairs
  float* activated = nullptr;  // [pairs, width]
  float* output = nullptr;     // [pairs, hidden]
  // Of experts on tensor cores alone.
  int32_t* num_tiles = nullptr;  // [1]
  ExpertTile* tiles = nullptr;   // [MostExpertTiles()]
  BF16* rounded = nullptr;       // [tokens, hidden]
  size_t bytes = 0;              // of all of these
};

// Choices of experts that a block groups at once.
inline constexpr int kChoicesTogether = 1024;

FACET_HOST_DEVICE inline int64_t ChoiceChunks(int64_t choices) {
  return (choices + kChoicesTogether - 1) / kChoicesTogether;
}

// An expert's tiles of `rows` pairs, and those of all experts together at most:
// each has one that is not full.
FACET_HOST_DEVICE inline int32_t TilesOfExpert(int32_t pairs, int rows) {
  return (pairs + rows - 1) / rows;
}
inline int64_t MostExpertTiles(int64_t pairs, int64_t experts, int rows) {
  return pairs < experts ? pairs : pairs / rows + experts;
}
// Tile `i` of expert `expert`, whose pairs are [begin, end).
FACET_HOST_DEVICE inline ExpertTile ExpertTileAt(int32_t expert, int32_t begin,
                                                 int32_t end, int32_t i,
                                                 int rows) {
  const int32_t first = begin + i * rows;
  const int32_t left = end - first;
  return {expert, first, left < rows ? left : rows};
}

// The arrays one behind the other from `base` on, which may be null to learn
// their size. `tile_rows`: pairs of a tile on tensor cores, 0 where experts
// have none.
inline ExpertPairs PlaceExpertPairs(void* base, int64_t tokens,
                                    int experts_per_token, int64_t experts,
                                    int64_t hidden, int64_t width,
                                    int tile_rows = 0) {
  ExpertPairs pairs;
  pairs.tokens = tokens;
  pairs.experts_per_token = experts_per_token;
  pairs.experts = static_cast<int32_t>(experts);
  const int64_t most = tokens * experts_per_token;
  const auto take = [&](int64_t values) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(base) + pairs.bytes;
    pairs.bytes += (values * 4 + 255) / 256 * 256;
    return reinterpret_cast<void*>(at);
  };
  pairs.active = static_cast<int32_t*>(take(1 + experts));
  pairs.begin = static_cast<int32_t*>(take(experts + 1));
  pairs.rows = static_cast<int32_t*>(take(most));
  pairs.weights = static_cast<float*>(take(most));
  pairs.pair_of = static_cast<int32_t*>(take(most));
  pairs.counts = static_cast<int32_t*>(take(ChoiceChunks(most) * experts));
  pairs.activated = static_cast<float*>(take(most * width));
  pairs.output = static_cast<float*>(take(most * hidden));
  if (tile_rows > 0) {
    pairs.num_tiles = static_cast<int32_t*>(take(1));
    pairs.tiles = static_cast<ExpertTile*>(
        take(3 * MostExpertTiles(most, experts, tile_rows)));
    pairs.rounded = static_cast<BF16*>(take((tokens * hidden + 1) / 2));
  }
  return pairs;
}

FACET_HOST_DEVICE inline bool IsMine(const ExpertPairs& pairs, int64_t token) {
  return token % pairs.replicas == pairs.replica;
}

// The pairs at hand of token `t` in rising expert, and the virtual shard of
// each; returns how many. `chosen` is the token's.
FACET_HOST_DEVICE inline int32_t SortPairs(const ExpertPairs& pairs,
                                           const int32_t* chosen, int64_t t,
                                           int64_t experts_per_shard,
                                           int32_t* order, int32_t* shards) {
  int32_t count = 0;
  // An expert's pairs lie behind those of lower experts, so pairs of one token
  // rise with their expert.
  for (int j = 0; j < pairs.experts_per_token; ++j) {
    const int32_t pair = pairs.pair_of[t * pairs.experts_per_token + j];
    if (pair < 0) continue;
    const int32_t shard = static_cast<int32_t>(
        (chosen[j] - pairs.first_expert) / experts_per_shard);
    int32_t place = count++;
    for (; place > 0 && order[place - 1] > pair; --place) {
      order[place] = order[place - 1];
      shards[place] = shards[place - 1];
    }
    order[place] = pair;
    shards[place] = shard;
  }
  return count;
}

// Adds the sums of virtual shards along a binary tree, (0 + 1) + (2 + 3) and so
// on, shards without a sum being absent. Shards come in rising order.
class ShardTree {
 public:
  FACET_HOST_DEVICE void Add(int32_t shard, float sum) {
    // Whoever shares no higher node with the newcomer's left neighbours is
    // complete and waits on the stack.
    while (depth_ > 1 && Meet(first_[depth_ - 2], first_[depth_ - 1]) <
                             Meet(first_[depth_ - 1], shard)) {
      Join();
    }
    first_[depth_] = shard;
    sum_[depth_++] = sum;
  }
  FACET_HOST_DEVICE float Total() {
    if (depth_ == 0) return 0.0f;
    while (depth_ > 1) Join();
    return sum_[0];
  }

 private:
  // The height of the lowest node above both shards.
  FACET_HOST_DEVICE static int Meet(int32_t a, int32_t b) {
    int height = 0;
    for (uint32_t differ = static_cast<uint32_t>(a ^ b); differ != 0;
         differ >>= 1) {
      ++height;
    }
    return height;
  }
  FACET_HOST_DEVICE void Join() {
    sum_[depth_ - 2] += sum_[depth_ - 1];
    --depth_;
  }

  // One entry per height of the tree and one newcomer.
  static constexpr int kDeepest = 18;
  int32_t first_[kDeepest];
  float sum_[kDeepest];
  int depth_ = 0;
};

}  // namespace facet

#endif  // FACET_KERNELS_EXPERTS_EXPERTS_CUDA_PLAN_H_
