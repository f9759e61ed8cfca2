#include "runtime/kv_cache/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

void Append(SequencePageTable& table, const std::vector<PageId>& pages) {
  for (PageId page : pages) table.pages.push_back(page.value);
}

void DropBefore(SequencePageTable& table, int64_t first_page) {
  const int64_t drop =
      std::min<int64_t>(first_page - table.first_page, table.pages.size());
  if (drop <= 0) return;
  table.pages.erase(table.pages.begin(), table.pages.begin() + drop);
  table.first_page += drop;
}

absl::Status Refuse(const SequenceSlice& slice, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("step: sequence ", slice.sequence.value, " ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(
    const ModelConfig& model, const ShardPlan& plan, int rank,
    const KvPoolSizes& pools, KvFormat format, Device* device) {
  const DType dtype = format == KvFormat::kF32 ? DType::kF32 : DType::kBF16;
  std::unique_ptr<KvCache> cache(new KvCache(pools, dtype));
  cache->layers_.resize(model.num_layers());
  const RankShard& shard = plan.shard(rank);
  for (LayerKind kind : {LayerKind::kSliding, LayerKind::kGlobal}) {
    // Elements of a page, and where in it each layer begins.
    int64_t stride = 0;
    std::vector<std::pair<int, int64_t>> begins;
    for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
      const int layer = static_cast<int>(i);
      if (!model.owns_kv(layer) || model.layers[layer].kind != kind) continue;
      LayerPages& pages = cache->layers_[layer];
      pages.kv_heads =
          static_cast<int>(plan.KvHeads(model, rank, layer).size());
      pages.head_dim = model.layers[layer].head_dim;
      begins.emplace_back(layer, stride);
      stride +=
          int64_t{2} * pages.kv_heads * pools.page_tokens * pages.head_dim;
    }
    const int64_t count =
        kind == LayerKind::kSliding ? pools.sliding_pages : pools.global_pages;
    const size_t element = SizeOf(dtype);
    if (count * stride == 0) continue;
    FACET_ASSIGN_OR_RETURN(void* const data,
                           cache->Reserve(count * stride * element, device));
    for (const auto& [layer, begin] : begins) {
      LayerPages& pages = cache->layers_[layer];
      pages.page_stride = stride;
      const int64_t elements =
          int64_t{pages.kv_heads} * pools.page_tokens * pages.head_dim;
      pages.k = static_cast<char*>(data) + begin * element;
      pages.v = static_cast<char*>(pages.k) + elements * element;
    }
  }
  for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
    cache->layers_[i] = cache->layers_[model.layers[i].kv_source];
  }
  return cache;
}

absl::StatusOr<void*> KvCache::Reserve(size_t bytes, Device* device) {
  if (device != nullptr) {
    FACET_ASSIGN_OR_RETURN(
        DeviceMemory memory,
        DeviceMemory::Allocate(device, bytes, "K/V pages (--kv-memory)"));
    placed_.push_back(std::move(memory));
    return placed_.back().data();
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "KV cache: cannot reserve ", bytes, " bytes; give less --kv-memory"));
  }
  regions_.push_back({data, bytes});
  // Keys and values of a long context lie on thousands of small pages, and
  // looking those up costs attention a quarter of its speed. Without effect
  // where the kernel has no huge pages.
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

KvCache::~KvCache() {
  for (const Region& region : regions_) munmap(region.data, region.bytes);
}

absl::Status KvCache::CheckSlice(const SequenceSlice& slice,
                                 const Sequence* live) const {
  if (slice.begins.has_value() && live != nullptr) {
    return Refuse(slice, "begins, though it has not finished");
  }
  if (!slice.begins.has_value() && live == nullptr) {
    return Refuse(slice, "is unknown here and does not begin");
  }
  if (live != nullptr && slice.start != live->length) {
    return Refuse(slice, absl::StrCat("continues at position ", slice.start,
                                      ", expected ", live->length));
  }
  const int64_t end = slice.start + static_cast<int64_t>(slice.tokens.size());
  const int64_t pages = (end + pools_.page_tokens - 1) / pools_.page_tokens;
  const int64_t sliding_end =
      live != nullptr ? live->sliding.end_page() : slice.sliding_first_page;
  const int64_t global_end = live != nullptr ? live->global.end_page() : 0;
  const auto reaches = [pages](int64_t end, const std::vector<PageId>& more) {
    return end + static_cast<int64_t>(more.size()) >= pages;
  };
  if (pools_.sliding_pages > 0 &&
      !reaches(sliding_end, slice.new_sliding_pages)) {
    return Refuse(slice, absl::StrCat("has too few sliding pages for position ",
                                      end - 1));
  }
  if (pools_.global_pages > 0 && !reaches(global_end, slice.new_global_pages)) {
    return Refuse(
        slice, absl::StrCat("has too few global pages for position ", end - 1));
  }
  return absl::OkStatus();
}

absl::Status KvCache::Apply(const StepPlan& plan) {
  const absl::flat_hash_set<SequenceId> finished(plan.finished.begin(),
                                                 plan.finished.end());
  for (const SequenceSlice& slice : plan.slices) {
    const auto it = sequences_.find(slice.sequence);
    const bool live =
        it != sequences_.end() && !finished.contains(slice.sequence);
    FACET_RETURN_IF_ERROR(CheckSlice(slice, live ? &it->second : nullptr));
  }
  for (SequenceId sequence : plan.finished) sequences_.erase(sequence);
  for (const SequenceSlice& slice : plan.slices) {
    Sequence& sequence = sequences_[slice.sequence];
    // The shared pages of the sliding pool begin with the first one seen.
    if (slice.begins.has_value()) {
      sequence.sliding.first_page = slice.sliding_first_page;
    }
    Append(sequence.sliding, slice.new_sliding_pages);
    Append(sequence.global, slice.new_global_pages);
    DropBefore(sequence.sliding, slice.sliding_first_page);
    sequence.length = slice.start + static_cast<int64_t>(slice.tokens.size());
  }
  return absl::OkStatus();
}

const SequencePageTable& KvCache::table(SequenceId sequence,
                                        LayerKind kind) const {
  const auto it = sequences_.find(sequence);
  FACET_CHECK(it != sequences_.end());
  return kind == LayerKind::kSliding ? it->second.sliding : it->second.global;
}

void KvCache::AppendSlots(const SequenceSlice& slice, LayerKind kind,
                          std::vector<int64_t>& slots) const {
  const SequencePageTable& pages = table(slice.sequence, kind);
  for (size_t t = 0; t < slice.tokens.size(); ++t) {
    const int64_t position = slice.start + static_cast<int64_t>(t);
    const int64_t page =
        pages.pages[position / pools_.page_tokens - pages.first_page];
    slots.push_back(page * pools_.page_tokens + position % pools_.page_tokens);
  }
}

}  // namespace facet
