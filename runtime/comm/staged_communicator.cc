#include "runtime/comm/staged_communicator.h"

#include <utility>
#include <vector>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

class StagedCommunicator : public Communicator {
 public:
  StagedCommunicator(Communicator* host, std::unique_ptr<Communicator> owned,
                     Backend* backend)
      : owned_(std::move(owned)), host_(*host), backend_(*backend) {}

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }

  absl::Status AllReduceSum(absl::Span<float> values) override {
    if (floats_.size() < values.size()) floats_.resize(values.size());
    const size_t bytes = values.size() * sizeof(float);
    FACET_RETURN_IF_ERROR(backend_.Read(values.data(), bytes, floats_.data()));
    FACET_RETURN_IF_ERROR(
        host_.AllReduceSum(absl::MakeSpan(floats_.data(), values.size())));
    return backend_.Write(floats_.data(), bytes, values.data());
  }

  absl::Status AllGather(absl::Span<const uint8_t> block,
                         absl::Span<uint8_t> all) override {
    std::vector<uint8_t> own(block.size()), gathered(all.size());
    FACET_RETURN_IF_ERROR(backend_.Read(block.data(), own.size(), own.data()));
    FACET_RETURN_IF_ERROR(host_.AllGather(own, absl::MakeSpan(gathered)));
    return backend_.Write(gathered.data(), gathered.size(), all.data());
  }

  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root) override {
    FACET_RETURN_IF_ERROR(
        backend_.Read(bytes.data(), bytes.size(), Room(bytes)));
    FACET_RETURN_IF_ERROR(host_.Broadcast(Staged(bytes), root));
    return backend_.Write(bytes_.data(), bytes.size(), bytes.data());
  }

  absl::Status Send(absl::Span<const uint8_t> bytes, int peer) override {
    FACET_RETURN_IF_ERROR(
        backend_.Read(bytes.data(), bytes.size(), Room(bytes)));
    return host_.Send(Staged(bytes), peer);
  }

  absl::Status Recv(absl::Span<uint8_t> bytes, int peer) override {
    Room(bytes);
    FACET_RETURN_IF_ERROR(host_.Recv(Staged(bytes), peer));
    return backend_.Write(bytes_.data(), bytes.size(), bytes.data());
  }

  absl::StatusOr<std::unique_ptr<Communicator>> Split(
      const std::vector<int>& ranks) override {
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> part,
                           host_.Split(ranks));
    Communicator* host = part.get();
    return std::make_unique<StagedCommunicator>(host, std::move(part),
                                                &backend_);
  }

  void Abort(const absl::Status& status) override { host_.Abort(status); }

 private:
  uint8_t* Room(absl::Span<const uint8_t> bytes) {
    if (bytes_.size() < bytes.size()) bytes_.resize(bytes.size());
    return bytes_.data();
  }
  absl::Span<uint8_t> Staged(absl::Span<const uint8_t> bytes) {
    return absl::MakeSpan(bytes_.data(), bytes.size());
  }

  const std::unique_ptr<Communicator> owned_;  // of a split
  Communicator& host_;
  Backend& backend_;
  std::vector<float> floats_;
  std::vector<uint8_t> bytes_;
};

}  // namespace

std::unique_ptr<Communicator> MakeStagedCommunicator(Communicator* host,
                                                     Backend* backend) {
  return std::make_unique<StagedCommunicator>(host, nullptr, backend);
}

}  // namespace facet
