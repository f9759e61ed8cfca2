// The collectives of a group of ranks, as messages over a Transport.
#ifndef FACET_RUNTIME_COMM_GROUP_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_GROUP_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/comm/communicator.h"
#include "runtime/comm/transport.h"

namespace facet {

class GroupCommunicator : public Communicator {
 public:
  // `ranks`: the group's world ranks, ascending, the transport's among them.
  GroupCommunicator(std::shared_ptr<Transport> transport,
                    std::vector<int> ranks);

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(ranks_.size()); }
  absl::Status AllReduceSum(absl::Span<float> values) override;
  absl::Status AllGather(absl::Span<const uint8_t> block,
                         absl::Span<uint8_t> all) override;
  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root) override;
  absl::Status Send(absl::Span<const uint8_t> bytes, int peer) override;
  absl::Status Recv(absl::Span<uint8_t> bytes, int peer) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(
      const std::vector<int>& ranks) override;
  void Abort(const absl::Status& status) override;
  // Of all groups that share the transport.
  CommActivity activity() const override;
  std::string LastCalls(size_t count) const override;

 private:
  absl::Status ExchangeWhole(absl::Span<float> values);
  absl::Status PassOn(absl::Span<uint8_t> bytes, int root);
  absl::Status HalveAndGather(absl::Span<float> values);
  // Sends `out` to the group's `peer` and receives `in` from it.
  absl::Status Swap(int peer, absl::Span<const float> out, absl::Span<float> in,
                    bool add);

  std::shared_ptr<Transport> transport_;
  std::vector<int> ranks_;  // world rank of each rank of the group
  int rank_ = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_GROUP_COMMUNICATOR_H_
