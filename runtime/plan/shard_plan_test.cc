#include "runtime/plan/shard_plan.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/config/json_fields.h"
#include "runtime/plan/stage_cuts.h"

namespace facet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kPublished = {"gemma-4-E2B", "gemma-4-E4B",
                                             "gemma-4-26B-A4B", "gemma-4-31B",
                                             "hypothetical-120B-A15B"};
const std::vector<std::string> kGolden = {"dense-tiny", "moe-tiny", "e2b-tiny",
                                          "e4b-tiny"};

std::string GoldenDirectory(const std::string& name) {
  return absl::StrCat("tests/testdata/golden/", name);
}

ModelConfig Model(const std::string& name) {
  absl::StatusOr<ModelConfig> model;
  if (absl::EndsWith(name, "-tiny")) {
    model = ReadModelConfig(GoldenDirectory(name));
  } else {
    model = ParseModelConfig(*ReadTextFile(
        absl::StrCat("runtime/config/testdata/", name, ".config.json"),
        1 << 20));
  }
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

ShardPlan Plan(const ModelConfig& model, const ParallelismOptions& options) {
  absl::StatusOr<ShardPlan> plan = ShardPlan::Create(model, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : ShardPlan();
}

std::string RefusalOf(const ModelConfig& model,
                      const ParallelismOptions& options) {
  const absl::Status status = ShardPlan::Create(model, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

// Every plan over the small and the real models, with all legal tp and ep and
// a spread of pp.
template <typename Body>
void ForEachPlan(const Body& body) {
  std::vector<std::string> names = kPublished;
  names.insert(names.end(), kGolden.begin(), kGolden.end());
  for (const std::string& name : names) {
    const ModelConfig model = Model(name);
    const int max_pp = static_cast<int>(LegalStageBegins(model).size());
    for (int pp = 1; pp <= max_pp; pp += pp < 8 ? 1 : 7) {
      for (int tp = 1; tp <= 8; tp *= 2) {
        for (int ep = 1; ep <= tp; ep *= 2) {
          ParallelismOptions options;
          options.pp_size = pp;
          options.tp_size = tp;
          options.ep_size = ep;
          const absl::StatusOr<ShardPlan> plan =
              ShardPlan::Create(model, options);
          if (!plan.ok()) continue;
          SCOPED_TRACE(absl::StrCat(name, " pp=", pp, " tp=", tp, " ep=", ep));
          body(model, *plan);
        }
      }
    }
  }
}

// Adds 1 to the counts inside `range`.
void Count(const IndexRange& range, std::vector<int>* counts) {
  for (int64_t i = range.begin; i < range.end; ++i) ++(*counts)[i];
}

TEST(ShardPlanTest, AllPowersOfTwoUpTo8ArePlannedForThePublishedModels) {
  for (const std::string& name : kPublished) {
    const ModelConfig model = Model(name);
    EXPECT_EQ(Plan(model, {}).virtual_shards(), 8) << name;
    for (const int tp : {1, 2, 4, 8}) {
      EXPECT_EQ(Plan(model, {1, tp, 1, {}}).world_size(), tp) << name;
    }
  }
}

TEST(ShardPlanTest, EveryLayerHeadColumnAndExpertHasItsOwners) {
  ForEachPlan([](const ModelConfig& model, const ShardPlan& plan) {
    const int tp = plan.tp_size();
    std::vector<int> layers(model.num_layers());
    for (int stage = 0; stage < plan.pp_size(); ++stage) {
      std::vector<int> heads(model.query_heads);
      std::vector<int> experts(model.num_experts);
      for (int r = 0; r < tp; ++r) {
        const RankShard& shard = plan.shard(stage * tp + r);
        ASSERT_EQ(shard.rank, stage * tp + r);
        ASSERT_EQ(shard.stage, stage);
        ASSERT_EQ(shard.tp_rank, r);
        ASSERT_EQ(shard.layers, plan.shard(stage * tp).layers);
        ASSERT_EQ(shard.expert_replicas, tp / plan.ep_size());
        ASSERT_EQ(shard.ep_rank * shard.expert_replicas + shard.expert_replica,
                  r);
        Count(shard.query_heads, &heads);
        Count(shard.experts, &experts);
      }
      Count(plan.shard(stage * tp).layers, &layers);
      EXPECT_EQ(heads, std::vector<int>(model.query_heads, 1));
      EXPECT_EQ(experts,
                std::vector<int>(model.num_experts, tp / plan.ep_size()));
    }
    EXPECT_EQ(layers, std::vector<int>(model.num_layers(), 1));
    for (int layer = 0; layer < model.num_layers(); ++layer) {
      int64_t columns = 0;
      for (int r = 0; r < tp; ++r) {
        const IndexRange range = plan.MlpColumns(model, r, layer);
        ASSERT_EQ(range.begin, columns);
        columns = range.end;
      }
      ASSERT_EQ(columns, model.layers[layer].intermediate_size);
    }
  });
}

TEST(ShardPlanTest, KvHeadsAreThoseThatTheQueryHeadsRead) {
  ForEachPlan([](const ModelConfig& model, const ShardPlan& plan) {
    for (int rank = 0; rank < plan.tp_size(); ++rank) {
      const IndexRange& heads = plan.shard(rank).query_heads;
      for (int layer = 0; layer < model.num_layers(); ++layer) {
        const int64_t group = model.query_heads / model.layers[layer].kv_heads;
        const IndexRange kv = plan.KvHeads(model, rank, layer);
        std::vector<int> readers(model.layers[layer].kv_heads);
        for (int64_t h = heads.begin; h < heads.end; ++h) ++readers[h / group];
        for (int64_t k = 0; k < model.layers[layer].kv_heads; ++k) {
          ASSERT_EQ(readers[k] > 0, kv.contains(k)) << rank << " " << layer;
        }
      }
    }
  });
}

TEST(ShardPlanTest, TheLastStageHoldsEveryVocabularyRowOnceInWholeTiles) {
  ForEachPlan([](const ModelConfig& model, const ShardPlan& plan) {
    int64_t rows = 0;
    for (int rank = 0; rank < plan.world_size(); ++rank) {
      const RankShard& shard = plan.shard(rank);
      if (shard.stage < plan.pp_size() - 1) {
        EXPECT_EQ(shard.vocab.size(), 0);
        continue;
      }
      EXPECT_EQ(shard.vocab.begin, rows);
      EXPECT_EQ(shard.vocab.begin % 16, 0);
      rows = shard.vocab.end;
    }
    EXPECT_EQ(rows, model.vocab_size);
  });
}

TEST(ShardPlanTest, AnyVocabularySplits) {
  ModelConfig model = Model("dense-tiny");
  for (const int64_t vocab : {1, 5, 127, 128, 1000, 262145}) {
    model.vocab_size = vocab;
    int64_t rows = 0;
    const ShardPlan plan = Plan(model, {1, 8, 1, {}});
    for (int rank = 0; rank < 8; ++rank) {
      ASSERT_EQ(plan.shard(rank).vocab.begin, rows);
      rows = plan.shard(rank).vocab.end;
      ASSERT_LE(plan.shard(rank).vocab.size(), vocab / 8 + 32);
    }
    EXPECT_EQ(rows, vocab);
  }
}

TEST(ShardPlanTest, NoLayerIsPartedFromTheOwnerOfItsKv) {
  ForEachPlan([](const ModelConfig& model, const ShardPlan& plan) {
    for (int rank = 0; rank < plan.world_size(); ++rank) {
      const IndexRange& layers = plan.shard(rank).layers;
      EXPECT_GE(layers.size(), 1);
      for (int64_t i = layers.begin; i < layers.end; ++i) {
        ASSERT_TRUE(layers.contains(model.layers[i].kv_source)) << i;
      }
    }
  });
  EXPECT_EQ(LegalStageBegins(Model("gemma-4-E2B")).size(), 14);
  EXPECT_EQ(LegalStageBegins(Model("gemma-4-E2B")).back(), 13);
  EXPECT_EQ(LegalStageBegins(Model("gemma-4-E4B")).back(), 22);
  EXPECT_EQ(LegalStageBegins(Model("gemma-4-31B")).size(), 60);
}

// The heaviest stage of the default cuts, against every way to cut.
TEST(ShardPlanTest, DefaultCutsMakeTheHeaviestStageAsLightAsCanBe) {
  for (const std::string& name : kGolden) {
    const ModelConfig model = Model(name);
    const std::vector<int> begins = LegalStageBegins(model);
    const int cuts = static_cast<int>(begins.size()) - 1;
    std::vector<int64_t> best(begins.size() + 1, INT64_MAX);
    for (int mask = 0; mask < 1 << cuts; ++mask) {
      ParallelismOptions options;
      int begin = 0;
      for (int c = 0; c < cuts; ++c) {
        if (!(mask >> c & 1)) continue;
        options.stage_layers.push_back(begins[c + 1] - begin);
        begin = begins[c + 1];
      }
      options.stage_layers.push_back(model.num_layers() - begin);
      options.pp_size = static_cast<int>(options.stage_layers.size());
      const ShardPlan plan = Plan(model, options);
      int64_t heaviest = 0;
      for (int rank = 0; rank < plan.world_size(); ++rank) {
        heaviest = std::max(heaviest, plan.WeightBytes(model, rank));
      }
      best[options.pp_size] = std::min(best[options.pp_size], heaviest);
    }
    for (int pp = 1; pp <= cuts + 1; ++pp) {
      const ShardPlan plan = Plan(model, {pp, 1, 1, {}});
      int64_t heaviest = 0;
      for (int rank = 0; rank < pp; ++rank) {
        heaviest = std::max(heaviest, plan.WeightBytes(model, rank));
      }
      EXPECT_EQ(heaviest, best[pp]) << name << " pp=" << pp;
    }
  }
}

TEST(ShardPlanTest, StagesOfALargeModelAreEven) {
  const ModelConfig model = Model("gemma-4-31B");
  const ShardPlan plan = Plan(model, {4, 1, 1, {}});
  int64_t lightest = INT64_MAX, heaviest = 0;
  for (int rank = 0; rank < 4; ++rank) {
    lightest = std::min(lightest, plan.WeightBytes(model, rank));
    heaviest = std::max(heaviest, plan.WeightBytes(model, rank));
  }
  EXPECT_LT(heaviest, 1.1 * lightest);
}

// Parameters as published, per-layer table left out, plus one layer_scalar per
// layer, which is stored but no parameter.
TEST(ShardPlanTest, WeightBytesOfOneRankAreThoseOfTheWholeModel) {
  struct Case {
    std::string name;
    int64_t parameters;
    int64_t table;
  };
  for (const Case& c :
       std::vector<Case>{{"gemma-4-E2B", 4628569344, 2348810240},
                         {"gemma-4-E4B", 7463013376, 2818572288},
                         {"gemma-4-26B-A4B", 25233141760, 0},
                         {"gemma-4-31B", 30697345280, 0}}) {
    const ModelConfig model = Model(c.name);
    EXPECT_EQ(Plan(model, {}).WeightBytes(model, 0),
              2 * (c.parameters - c.table + model.num_layers()))
        << c.name;
  }
}

// The tensors in the files of the golden models, the per-layer table and the
// unused K/V of sharing layers left out.
TEST(ShardPlanTest, WeightBytesMatchTheFiles) {
  for (const std::string& name : kGolden) {
    const ModelConfig model = Model(name);
    const auto checkpoint = Checkpoint::Open(GoldenDirectory(name));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    int64_t bytes = 0;
    for (const std::string& tensor : (*checkpoint)->names()) {
      if (!absl::StartsWith(tensor, model.tensor_prefix)) continue;
      if (absl::EndsWith(tensor, "embed_tokens_per_layer.weight")) continue;
      const std::vector<std::string> parts =
          absl::StrSplit(tensor.substr(model.tensor_prefix.size()), '.');
      const bool is_kv =
          parts.size() > 3 && (parts[3] == "k_proj" || parts[3] == "v_proj" ||
                               parts[3] == "k_norm");
      if (is_kv && !model.owns_kv(std::stoi(parts[1]))) continue;
      bytes += static_cast<int64_t>((*checkpoint)->Find(tensor)->bytes);
    }
    EXPECT_EQ(Plan(model, {}).WeightBytes(model, 0), bytes) << name;
  }
}

// Ranks together hold the model plus what they replicate: more than the whole,
// and no rank more than a plan with fewer ranks gives it.
TEST(ShardPlanTest, MoreRanksNeverMeanMoreBytesOnOne) {
  for (const std::string& name : kPublished) {
    const ModelConfig model = Model(name);
    const int64_t whole = Plan(model, {}).WeightBytes(model, 0);
    int64_t before = whole;
    for (const int tp : {2, 4, 8}) {
      const ShardPlan plan = Plan(model, {1, tp, 1, {}});
      int64_t sum = 0, heaviest = 0;
      for (int rank = 0; rank < tp; ++rank) {
        sum += plan.WeightBytes(model, rank);
        heaviest = std::max(heaviest, plan.WeightBytes(model, rank));
      }
      EXPECT_GE(sum, whole) << name;
      EXPECT_LT(heaviest, before) << name;
      before = heaviest;
    }
  }
}

TEST(ShardPlanTest, ExpertParallelismDividesExpertBytes) {
  const ModelConfig model = Model("gemma-4-26B-A4B");
  const int64_t experts = int64_t{2} * 22837985280;
  const int64_t replicated = Plan(model, {1, 8, 1, {}}).WeightBytes(model, 0);
  const int64_t divided = Plan(model, {1, 8, 8, {}}).WeightBytes(model, 0);
  EXPECT_EQ(replicated - divided, experts / 8 * 7);
}

TEST(ShardPlanTest, KvBytesPerTokenAreThoseOfThePublishedModels) {
  struct Case {
    std::string name;
    int64_t sliding;
    int64_t global;
  };
  for (const Case& c : std::vector<Case>{{"gemma-4-E2B", 12288, 6144},
                                         {"gemma-4-E4B", 40960, 16384},
                                         {"gemma-4-26B-A4B", 204800, 20480},
                                         {"gemma-4-31B", 819200, 81920}}) {
    const ModelConfig model = Model(c.name);
    const ShardPlan plan = Plan(model, {});
    EXPECT_EQ(plan.KvBytesPerToken(model, 0, LayerKind::kSliding, 2), c.sliding)
        << c.name;
    EXPECT_EQ(plan.KvBytesPerToken(model, 0, LayerKind::kGlobal, 2), c.global)
        << c.name;
  }
  // Eight ranks share the two global KV heads of the 26B model.
  const ModelConfig model = Model("gemma-4-26B-A4B");
  const ShardPlan plan = Plan(model, {1, 8, 1, {}});
  EXPECT_EQ(plan.KvBytesPerToken(model, 7, LayerKind::kSliding, 2), 204800 / 8);
  EXPECT_EQ(plan.KvBytesPerToken(model, 7, LayerKind::kGlobal, 2), 20480 / 2);
}

TEST(ShardPlanTest, RefusalNamesFieldValueAndNearestLegalChoice) {
  const ModelConfig dense = Model("gemma-4-31B");
  const ModelConfig moe = Model("gemma-4-26B-A4B");
  const ModelConfig e2b = Model("gemma-4-E2B");
  struct Case {
    const ModelConfig& model;
    ParallelismOptions options;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {dense, {1, 3, 1, {}}, "tp=3: must be a power of two; try tp=2 or tp=4"},
      {dense, {1, 0, 1, {}}, "tp=0: must be at least 1; try tp=1"},
      {dense, {1, -4, 1, {}}, "tp=-4: must be at least 1"},
      {dense, {1, 16, 1, {}}, "at most 8; try tp=8"},
      {dense, {0, 1, 1, {}}, "pp=0: must be at least 1; try pp=1"},
      {dense, {61, 1, 1, {}}, "pp=61: the model's 60 layers make at most 60"},
      {e2b, {15, 1, 1, {}}, "at most 14 stages, since layers that share K/V"},
      {dense, {1, 2, 2, {}}, "ep=2: the model is dense"},
      {moe,
       {1, 4, 3, {}},
       "ep=3: must divide tp=4 and the 128 experts; try "
       "ep=2"},
      {moe, {1, 4, 8, {}}, "try ep=4"},
      {moe, {1, 4, 0, {}}, "try ep=1"},
      {dense, {2, 1, 1, {60}}, "stage_layers: expected pp=2 numbers, found 1"},
      {dense, {2, 1, 1, {30, 29}}, "add up to 59, expected the model's 60"},
      {dense, {2, 1, 1, {60, 0}}, "stage 1 has 0 layers"},
      {e2b, {2, 1, 1, {15, 20}}, "stage 1 begins at layer 15"},
      {e2b, {2, 1, 1, {15, 20}}, "the nearest legal cut is before layer 13"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(RefusalOf(c.model, c.options), HasSubstr(c.expected));
  }
  EXPECT_THAT(RefusalOf(ModelConfig(), {}), HasSubstr("no layers"));
}

TEST(ShardPlanTest, StageLayersAreTakenAsGiven) {
  const ModelConfig model = Model("gemma-4-E2B");
  const ShardPlan plan = Plan(model, {3, 2, 1, {2, 11, 22}});
  EXPECT_EQ(plan.shard(2).layers, (IndexRange{2, 13}));
  EXPECT_EQ(plan.shard(5).layers, (IndexRange{13, 35}));
  EXPECT_THAT(plan.options().stage_layers, ElementsAre(2, 11, 22));
}

TEST(ShardPlanTest, VirtualShardsDivideWhatTheModelOffers) {
  ModelConfig model = Model("moe-tiny");
  EXPECT_EQ(Plan(model, {}).virtual_shards(), 8);
  model.num_experts = 12;
  EXPECT_EQ(Plan(model, {}).virtual_shards(), 4);
  model.layers[3].intermediate_size = 98;
  EXPECT_EQ(Plan(model, {}).virtual_shards(), 2);
  EXPECT_THAT(RefusalOf(model, {1, 4, 1, {}}), HasSubstr("try tp=2"));
  model.query_heads = 5;
  model.layers.resize(1);
  EXPECT_EQ(Plan(model, {}).virtual_shards(), 1);
}

TEST(ShardPlanTest, TheTableHasAnAlignedLinePerRank) {
  const ModelConfig model = Model("gemma-4-26B-A4B");
  const std::string table = ToTable(model, Plan(model, {2, 4, 2, {}}));
  const std::vector<std::string> lines = absl::StrSplit(table, '\n');
  ASSERT_EQ(lines.size(), 10);
  EXPECT_TRUE(lines.back().empty());
  for (int i = 1; i < 9; ++i) EXPECT_EQ(lines[i].size(), lines[0].size());
  EXPECT_THAT(lines[0], HasSubstr("weights"));
  EXPECT_THAT(lines[1], HasSubstr("0-63 (tokens 0/2)"));
  EXPECT_THAT(lines[8], HasSubstr("64-127 (tokens 1/2)"));
  EXPECT_THAT(lines[8], HasSubstr("196608-262143"));
}

}  // namespace
}  // namespace facet
