// How long a pipeline stage takes for a step: a roofline. Arithmetic on a
// StepPlan, a model's sizes and a machine's rates; nothing is measured here.
//
//   seconds = step_s + slices * slice_s
//             + max(bytes / bytes_per_s, FLOPs / flops_per_s) / stages
//
// Bytes are the weights, each once (of experts the expected number of distinct
// ones), and the keys and values that the step's queries see, once per slice.
// FLOPs are two per weight and token, and the attention's. Stages are equal.
#ifndef FACET_SCHEDULER_SIMULATE_STEP_COST_H_
#define FACET_SCHEDULER_SIMULATE_STEP_COST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/step_plan.h"

namespace facet {

struct MachineFigures {
  std::string name;
  double memory_bytes = 0;
  double bytes_per_s = 0;   // of memory, as far as kernels reach it
  double flops_per_s = 0;   // likewise
  double step_s = 0;        // of every step, on every stage
  double slice_s = 0;       // of every slice, on every stage
  double round_trip_s = 0;  // coordinator to workers and back, beside a step
};

struct ModelFigures {
  std::string name;
  double weight_bytes = 0;  // of every step; experts not included
  double expert_bytes = 0;  // of one expert in all layers
  int experts = 0;
  int experts_per_token = 0;
  double token_flops = 0;  // without attention and head
  double head_flops = 0;   // of one row of logits
  // Of one query and one key or value, in all layers of the kind.
  double sliding_key_flops = 0;
  double global_key_flops = 0;
  double sliding_token_bytes = 0;  // K and V of one token
  double global_token_bytes = 0;
  int sliding_window = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
};

// Weights of two bytes; K and V of `kv_element_bytes` bytes.
ModelFigures FiguresOf(const ModelConfig& model, int kv_element_bytes);

// Figures by name (presets.cc), K and V in bf16.
//
// Errors: INVALID_ARGUMENT naming the known ones.
absl::StatusOr<ModelFigures> ModelPreset(const std::string& name);
absl::StatusOr<MachineFigures> MachinePreset(const std::string& name);

double StageSeconds(const StepPlan& plan, const ModelFigures& model,
                    const MachineFigures& machine, int stages);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_STEP_COST_H_
