// How many bytes of bf16 weights the parts of a model have. Counts what a rank
// reads in every step; rows of embedding tables, which are gathered one by one,
// are left out.
#ifndef FACET_RUNTIME_PLAN_WEIGHT_BYTES_H_
#define FACET_RUNTIME_PLAN_WEIGHT_BYTES_H_

#include <cstdint>

#include "runtime/config/model_config.h"

namespace facet {

// How much of one layer a rank holds; the rest of the layer (norms, router,
// per-layer projections) every rank of its stage has whole.
struct LayerSlice {
  int64_t query_heads = 0;
  int64_t kv_heads = 0;
  int64_t mlp_columns = 0;
  int64_t experts = 0;
};

LayerSlice WholeLayer(const ModelConfig& model, int layer);

int64_t LayerWeightBytes(const ModelConfig& model, int layer,
                         const LayerSlice& slice);

// What a stage has once: the norm of the per-layer projection.
int64_t StageWeightBytes(const ModelConfig& model);

// What the last stage adds: the final norm and `vocab_rows` of the head.
int64_t HeadWeightBytes(const ModelConfig& model, int64_t vocab_rows);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_WEIGHT_BYTES_H_
