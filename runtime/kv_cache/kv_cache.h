// The K/V pages of one rank and the page tables of its live sequences. Which
// pages a sequence gets is the coordinator's decision; this only stores.
//
// Each of the two pools is one array of pages. A page holds K and V of every
// layer of its kind that owns some, one after another, each shaped [kv_heads,
// page_tokens, head_dim] of that layer; so a sequence's memory is whole pages
// side by side, and the kernel may back it with huge ones at no waste. A
// sharing layer reads its donor's pages and can't write them.
#ifndef FACET_RUNTIME_KV_CACHE_KV_CACHE_H_
#define FACET_RUNTIME_KV_CACHE_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/base/dtype.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/numerics.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// The pages of one sequence in one pool: entry i holds the positions from
// (first_page + i) * page_tokens on.
struct SequencePageTable {
  int64_t first_page = 0;
  std::vector<int32_t> pages;
  int64_t end_page() const {
    return first_page + static_cast<int64_t>(pages.size());
  }
};

// Where one layer's K and V lie: those of page p begin p * page_stride elements
// behind k and v.
struct LayerPages {
  void* k = nullptr;
  void* v = nullptr;
  int kv_heads = 0;
  int head_dim = 0;
  int64_t page_stride = 0;
};

class KvCache {
 public:
  // Reserves the pools, on `device` where one is given, which outlives the
  // cache. Of the host's memory, pages are taken as they are first written.
  //
  // Errors: RESOURCE_EXHAUSTED when the address space or the device's memory
  // can't be had.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(
      const ModelConfig& model, const ShardPlan& plan, int rank,
      const KvPoolSizes& pools, KvFormat format, Device* device = nullptr);
  ~KvCache();

  // Applies the grants, releases and ends of `plan` to the tables, or nothing
  // at all.
  //
  // Errors: INVALID_ARGUMENT when a slice does not begin where its sequence
  // ends, its tables do not cover it, its sequence is unknown and does not
  // begin with it, or is live and does.
  absl::Status Apply(const StepPlan& plan);

  // REQUIRES: the sequence is live.
  const SequencePageTable& table(SequenceId sequence, LayerKind kind) const;

  const LayerPages& layer(int layer) const { return layers_[layer]; }
  DType dtype() const { return dtype_; }
  int page_tokens() const { return pools_.page_tokens; }

  // Appends where the pages of `kind` take the keys and values of the slice's
  // tokens: page * page_tokens() + place in the page. After Apply().
  void AppendSlots(const SequenceSlice& slice, LayerKind kind,
                   std::vector<int64_t>& slots) const;

 private:
  struct Sequence {
    int64_t length = 0;
    SequencePageTable sliding;
    SequencePageTable global;
  };
  struct Region {
    void* data = nullptr;
    size_t bytes = 0;
  };

  KvCache(const KvPoolSizes& pools, DType dtype)
      : pools_(pools), dtype_(dtype) {}

  // Memory that is taken as it is touched, or the device's; given back with the
  // cache.
  absl::StatusOr<void*> Reserve(size_t bytes, Device* device);

  // `live`: where its sequence stands before the step; null when unknown.
  absl::Status CheckSlice(const SequenceSlice& slice,
                          const Sequence* live) const;

  const KvPoolSizes pools_;
  const DType dtype_;
  std::vector<LayerPages> layers_;
  std::vector<Region> regions_;
  std::vector<DeviceMemory> placed_;
  absl::flat_hash_map<SequenceId, Sequence> sequences_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_KV_CACHE_KV_CACHE_H_
