#include "kernels/experts/experts.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/gated_gelu/gated_gelu.h"

namespace facet {
namespace {

constexpr int64_t kHidden = 48, kWidth = 32, kExperts = 16, kPerShard = 4;
constexpr int kChosen = 3;

struct Layer {
  explicit Layer(int64_t tokens) : tokens(tokens) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    const auto fill = [&](auto& values, int64_t count) {
      values.resize(count);
      for (auto& v : values) v = {normal(random)};
    };
    fill(x, tokens * kHidden);
    fill(weights, tokens * kChosen);
    std::vector<float> raw;
    fill(raw, kExperts * 2 * kWidth * kHidden);
    for (float v : raw) gate_up.push_back(ToBF16(v));
    fill(raw, kExperts * kHidden * kWidth);
    for (float v : raw) down.push_back(ToBF16(v));
    std::vector<int32_t> all(kExperts);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t t = 0; t < tokens; ++t) {
      std::shuffle(all.begin(), all.end(), random);
      chosen.insert(chosen.end(), all.begin(), all.begin() + kChosen);
    }
  }

  ExpertsArgs Args(std::vector<float>& y) const {
    y.assign(tokens * kHidden, -7.0f);
    ExpertsArgs args;
    args.tokens = tokens;
    args.hidden = kHidden;
    args.width = kWidth;
    args.experts_per_token = kChosen;
    args.x = x.data();
    args.chosen = chosen.data();
    args.weights = weights.data();
    args.experts = kExperts;
    args.experts_per_shard = kPerShard;
    args.gate_up = gate_up.data();
    args.gate_up_stride = kHidden;
    args.down = down.data();
    args.down_stride = kWidth;
    args.y = y.data();
    return args;
  }

  // One expert on one token, by the operations it is made of.
  std::vector<float> Expert(int64_t token, int64_t expert) const {
    ThreadPool pool(1);
    std::vector<float> gates(2 * kWidth), out(kHidden);
    MatmulArgs first;
    first.m = 1;
    first.n = 2 * kWidth;
    first.k = first.x_stride = first.w_stride = kHidden;
    first.x = x.data() + token * kHidden;
    first.w = gate_up.data() + expert * 2 * kWidth * kHidden;
    first.y = gates.data();
    first.y_stride = 2 * kWidth;
    Matmul(absl::MakeConstSpan(&first, 1), pool);
    GatedGeluArgs gelu;
    gelu.rows = 1;
    gelu.width = kWidth;
    gelu.gate = gelu.y = gates.data();
    gelu.up = gates.data() + kWidth;
    GatedGelu(gelu, pool);
    MatmulArgs second;
    second.m = 1;
    second.n = kHidden;
    second.k = second.x_stride = second.w_stride = kWidth;
    second.x = gates.data();
    second.w = down.data() + expert * kHidden * kWidth;
    second.y = out.data();
    second.y_stride = kHidden;
    Matmul(absl::MakeConstSpan(&second, 1), pool);
    return out;
  }

  // The contract's order for the experts of one token.
  std::vector<float> Token(int64_t token) const {
    std::vector<float> shards[kExperts / kPerShard];
    for (auto& shard : shards) shard.assign(kHidden, 0.0f);
    for (int64_t expert = 0; expert < kExperts; ++expert) {
      for (int j = 0; j < kChosen; ++j) {
        if (chosen[token * kChosen + j] != expert) continue;
        const std::vector<float> y = Expert(token, expert);
        for (int64_t d = 0; d < kHidden; ++d) {
          const volatile float product = weights[token * kChosen + j] * y[d];
          shards[expert / kPerShard][d] += product;
        }
      }
    }
    for (int64_t d = 0; d < kHidden; ++d) {
      const volatile float left = shards[0][d] + shards[1][d];
      const volatile float right = shards[2][d] + shards[3][d];
      shards[0][d] = left + right;
    }
    return shards[0];
  }

  int64_t tokens;
  std::vector<float> x, weights;
  std::vector<int32_t> chosen;
  std::vector<BF16> gate_up, down;
};

TEST(ExpertsTest, HasTheBitsOfOneExpertAtATimeOnAnyNumberOfThreads) {
  for (int64_t tokens : {1, 2, 7, 150}) {
    const Layer layer(tokens);
    for (int threads : {1, 3}) {
      ThreadPool pool(threads);
      ExpertsScratch scratch;
      std::vector<float> y;
      Experts(layer.Args(y), scratch, pool);
      for (int64_t t = 0; t < tokens; t += 1 + tokens / 5) {
        EXPECT_EQ(std::vector<float>(y.begin() + t * kHidden,
                                     y.begin() + (t + 1) * kHidden),
                  layer.Token(t))
            << t << " of " << tokens;
      }
    }
  }
}

TEST(ExpertsTest, RanksWithAPartEachAddUpToTheWhole) {
  const Layer layer(9);
  ThreadPool pool(2);
  ExpertsScratch scratch;
  std::vector<float> whole, low, high;
  Experts(layer.Args(whole), scratch, pool);
  ExpertsArgs args = layer.Args(low);
  args.experts = 8;
  Experts(args, scratch, pool);
  args = layer.Args(high);
  args.first_expert = 8;
  args.experts = 8;
  args.gate_up = layer.gate_up.data() + 8 * 2 * kWidth * kHidden;
  args.down = layer.down.data() + 8 * kHidden * kWidth;
  Experts(args, scratch, pool);
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ(low[i] + high[i], whole[i]);
  }
}

TEST(ExpertsTest, ReplicasShareTheTokens) {
  const Layer layer(5);
  ThreadPool pool(2);
  ExpertsScratch scratch;
  std::vector<float> whole, part;
  Experts(layer.Args(whole), scratch, pool);
  for (int replica : {0, 1}) {
    ExpertsArgs args = layer.Args(part);
    args.replicas = 2;
    args.replica = replica;
    Experts(args, scratch, pool);
    for (int64_t t = 0; t < 5; ++t) {
      for (int64_t d = 0; d < kHidden; ++d) {
        const int64_t i = t * kHidden + d;
        ASSERT_EQ(part[i], t % 2 == replica ? whole[i] : 0.0f);
      }
    }
  }
}

TEST(ExpertsTest, ProductsBesideAreDoneToo) {
  const Layer layer(4);
  ThreadPool pool(2);
  ExpertsScratch scratch;
  std::vector<float> y, alone(4 * kWidth), beside(4 * kWidth, -1);
  MatmulArgs product;
  product.m = 4;
  product.n = kWidth;
  product.k = product.x_stride = product.w_stride = kHidden;
  product.x = layer.x.data();
  product.w = layer.gate_up.data();
  product.y = alone.data();
  product.y_stride = kWidth;
  Matmul(absl::MakeConstSpan(&product, 1), pool);
  product.y = beside.data();
  ExpertsArgs args = layer.Args(y);
  args.beside = absl::MakeConstSpan(&product, 1);
  Experts(args, scratch, pool);
  EXPECT_EQ(alone, beside);
}

}  // namespace
}  // namespace facet
