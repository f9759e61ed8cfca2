// The ranks of the last stage and the vocabulary spread over them.
#ifndef FACET_RUNTIME_EXECUTOR_VOCAB_GROUP_H_
#define FACET_RUNTIME_EXECUTOR_VOCAB_GROUP_H_

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/communicator.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/shard_plan.h"

namespace facet {

class VocabGroup {
 public:
  // All arguments outlive the group. `tp` spans the stage of `rank`.
  VocabGroup(const ModelConfig* config, const ShardPlan* shards, int rank,
             Communicator* tp)
      : config_(*config),
        shards_(*shards),
        first_rank_(rank - shards->shard(rank).tp_rank),
        own_(shards->shard(rank).tp_rank),
        tp_(*tp) {}

  int size() const { return shards_.tp_size(); }
  int own() const { return own_; }
  int64_t vocab_size() const { return config_.vocab_size; }
  const IndexRange& vocab(int member) const {
    return shards_.shard(first_rank_ + member).vocab;
  }
  const IndexRange& own_vocab() const { return vocab(own_); }

  // The widest run of any member.
  int64_t widest() const {
    int64_t widest = 0;
    for (int m = 0; m < size(); ++m) widest = std::max(widest, vocab(m).size());
    return widest;
  }
  // Whose run `token` lies in.
  int OwnerOf(int32_t token) const {
    int owner = 0;
    while (token >= vocab(owner).end) ++owner;
    return owner;
  }

  // Sums over the vocabulary are cut into virtual slices, the same for every
  // number of ranks; each member owns whole ones.
  int own_slices() const { return shards_.virtual_shards() / size(); }
  IndexRange own_slice(int i) const {
    return ShardPlan::VocabSlice(config_.vocab_size, shards_.virtual_shards(),
                                 own_ * own_slices() + i);
  }

  // One block of each member, one after the other. All members give as many
  // values.
  template <typename T>
  absl::StatusOr<std::vector<T>> Gather(const std::vector<T>& mine) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (size() == 1 || mine.empty()) return mine;
    std::vector<T> all(mine.size() * size());
    FACET_RETURN_IF_ERROR(tp_.AllGather(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(mine.data()),
                            mine.size() * sizeof(T)),
        absl::MakeSpan(reinterpret_cast<uint8_t*>(all.data()),
                       all.size() * sizeof(T))));
    return all;
  }

 private:
  const ModelConfig& config_;
  const ShardPlan& shards_;
  const int first_rank_;
  const int own_;
  Communicator& tp_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_VOCAB_GROUP_H_
