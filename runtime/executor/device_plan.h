// Whether one rank's part of a model fits a device, and what would.
#ifndef FACET_RUNTIME_EXECUTOR_DEVICE_PLAN_H_
#define FACET_RUNTIME_EXECUTOR_DEVICE_PLAN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kernels/backend/device.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// What a rank takes of a device's memory, in bytes.
struct DeviceNeeds {
  int64_t weights = 0;
  int64_t kv_pages = 0;
  int64_t workspace = 0;  // activations and the backend's own
  int64_t total() const { return weights + kv_pages + workspace; }
};

// What a backend of `rank` has to take, for steps of up to `tokens`.
BackendLimits LimitsOf(const ModelConfig& model, const ShardPlan& plan,
                       int rank, int64_t tokens);

// Of the weights that `rank` holds on a device: those it reads, and the
// embedding tables that it gathers from.
int64_t PlacedWeightBytes(const ModelConfig& model, const ShardPlan& plan,
                          int rank);

int64_t KvPageBytes(const ModelConfig& model, const ShardPlan& plan, int rank,
                    const KvPoolSizes& pools, int bytes_per_element);

// Errors: RESOURCE_EXHAUSTED saying how much is missing, of what it is needed
// for, and the smallest plan whose weights would leave room for the rest.
absl::Status CheckFits(const ModelConfig& model, const ShardPlan& plan,
                       int rank, const DeviceNeeds& needs,
                       const std::string& device, int64_t free_bytes);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_DEVICE_PLAN_H_
