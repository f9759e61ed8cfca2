#include "runtime/comm/group_communicator.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Above this many bytes an all-reduce of four or more ranks halves its message
// at each step instead of sending it whole: more steps, fewer bytes.
constexpr size_t kWholeMessageMax = 64 << 10;

absl::Span<const uint8_t> Bytes(absl::Span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()),
          values.size() * sizeof(float)};
}

absl::Span<uint8_t> Bytes(absl::Span<float> values) {
  return {reinterpret_cast<uint8_t*>(values.data()),
          values.size() * sizeof(float)};
}

Outgoing MessageTo(int peer, MessageKind kind,
                   absl::Span<const uint8_t> bytes) {
  Outgoing message;
  message.peer = peer;
  message.kind = kind;
  message.bytes = bytes;
  return message;
}

Incoming MessageFrom(int peer, MessageKind kind, absl::Span<uint8_t> bytes) {
  Incoming message;
  message.peer = peer;
  message.kind = kind;
  message.bytes = bytes;
  return message;
}

}  // namespace

GroupCommunicator::GroupCommunicator(std::shared_ptr<Transport> transport,
                                     std::vector<int> ranks)
    : transport_(std::move(transport)), ranks_(std::move(ranks)) {
  const auto own = std::find(ranks_.begin(), ranks_.end(), transport_->rank());
  FACET_CHECK(own != ranks_.end());
  rank_ = static_cast<int>(own - ranks_.begin());
}

absl::Status GroupCommunicator::AllReduceSum(absl::Span<float> values) {
  FACET_CHECK(std::has_single_bit(ranks_.size()));
  const size_t bytes = values.size() * sizeof(float);
  return transport_->Record("all-reduce", bytes, -1, [&] {
    return size() > 2 && bytes > kWholeMessageMax ? HalveAndGather(values)
                                                  : ExchangeWhole(values);
  });
}

// Recursive doubling. After the step of distance d, each run of 2d ranks holds
// the sum of its run, and a + b has the bits of b + a: this is the tree.
absl::Status GroupCommunicator::ExchangeWhole(absl::Span<float> values) {
  for (int distance = 1; distance < size(); distance *= 2) {
    FACET_RETURN_IF_ERROR(Swap(rank_ ^ distance, values, values, /*add=*/true));
  }
  return absl::OkStatus();
}

// Recursive halving, then recursive doubling of what is summed. The partners
// come in the order of ExchangeWhole(), so every element is added along the
// same tree; only the part of the elements that a rank adds is smaller.
absl::Status GroupCommunicator::HalveAndGather(absl::Span<float> values) {
  absl::InlinedVector<absl::Span<float>, 8> wholes;
  absl::Span<float> own = values;
  for (int distance = 1; distance < size(); distance *= 2) {
    wholes.push_back(own);
    const size_t half = own.size() / 2;
    absl::Span<float> kept = own.subspan(0, half);
    absl::Span<float> given = own.subspan(half);
    if ((rank_ & distance) != 0) std::swap(kept, given);
    FACET_RETURN_IF_ERROR(Swap(rank_ ^ distance, given, kept, /*add=*/true));
    own = kept;
  }
  for (int distance = size() / 2; distance >= 1; distance /= 2) {
    const absl::Span<float> whole = wholes.back();
    wholes.pop_back();
    const size_t half = whole.size() / 2;
    const absl::Span<float> missing =
        (rank_ & distance) == 0 ? whole.subspan(half) : whole.subspan(0, half);
    FACET_RETURN_IF_ERROR(Swap(rank_ ^ distance, own, missing, /*add=*/false));
    own = whole;
  }
  return absl::OkStatus();
}

absl::Status GroupCommunicator::Swap(int peer, absl::Span<const float> out,
                                     absl::Span<float> in, bool add) {
  Outgoing outgoing =
      MessageTo(ranks_[peer], MessageKind::kAllReduce, Bytes(out));
  Incoming incoming =
      MessageFrom(ranks_[peer], MessageKind::kAllReduce, Bytes(in));
  incoming.add = add;
  if (out.data() == in.data()) incoming.behind = &outgoing;
  return transport_->Exchange({&outgoing, 1}, {&incoming, 1});
}

absl::Status GroupCommunicator::AllGather(absl::Span<const uint8_t> block,
                                          absl::Span<uint8_t> all) {
  FACET_CHECK(all.size() == block.size() * ranks_.size());
  const size_t bytes = block.size();
  if (bytes > 0 && all.data() + rank_ * bytes != block.data()) {
    std::memmove(all.data() + rank_ * bytes, block.data(), bytes);
  }
  absl::InlinedVector<Outgoing, 8> outgoing;
  absl::InlinedVector<Incoming, 8> incoming;
  // Each rank begins with its successor, so that no rank is everybody's first.
  for (int step = 1; step < size(); ++step) {
    const int to = (rank_ + step) % size();
    const int from = (rank_ + size() - step) % size();
    outgoing.push_back(MessageTo(ranks_[to], MessageKind::kAllGather,
                                 all.subspan(rank_ * bytes, bytes)));
    incoming.push_back(MessageFrom(ranks_[from], MessageKind::kAllGather,
                                   all.subspan(from * bytes, bytes)));
  }
  return transport_->Record("all-gather", all.size(), -1, [&] {
    return transport_->Exchange(absl::MakeSpan(outgoing),
                                absl::MakeSpan(incoming));
  });
}

absl::Status GroupCommunicator::Broadcast(absl::Span<uint8_t> bytes, int root) {
  FACET_CHECK(0 <= root && root < size());
  return transport_->Record("broadcast", bytes.size(), -1,
                            [&] { return PassOn(bytes, root); });
}

// A binomial tree: in round k, the 2^k ranks that have the bytes pass them on.
absl::Status GroupCommunicator::PassOn(absl::Span<uint8_t> bytes, int root) {
  const int from_root = (rank_ - root + size()) % size();
  int round = 1;
  if (from_root != 0) {
    const int highest =
        static_cast<int>(std::bit_floor(static_cast<unsigned>(from_root)));
    const int parent = (from_root - highest + root) % size();
    Incoming incoming =
        MessageFrom(ranks_[parent], MessageKind::kBroadcast, bytes);
    FACET_RETURN_IF_ERROR(transport_->Exchange({}, {&incoming, 1}));
    round = highest * 2;
  }
  absl::InlinedVector<Outgoing, 8> outgoing;
  for (; from_root + round < size(); round *= 2) {
    const int child = (from_root + round + root) % size();
    outgoing.push_back(
        MessageTo(ranks_[child], MessageKind::kBroadcast, bytes));
  }
  return transport_->Exchange(absl::MakeSpan(outgoing), {});
}

absl::Status GroupCommunicator::Send(absl::Span<const uint8_t> bytes,
                                     int peer) {
  FACET_CHECK(0 <= peer && peer < size() && peer != rank_);
  Outgoing outgoing =
      MessageTo(ranks_[peer], MessageKind::kPointToPoint, bytes);
  return transport_->Record("send", bytes.size(), ranks_[peer], [&] {
    return transport_->Exchange({&outgoing, 1}, {});
  });
}

absl::Status GroupCommunicator::Recv(absl::Span<uint8_t> bytes, int peer) {
  FACET_CHECK(0 <= peer && peer < size() && peer != rank_);
  Incoming incoming =
      MessageFrom(ranks_[peer], MessageKind::kPointToPoint, bytes);
  return transport_->Record("receive", bytes.size(), ranks_[peer], [&] {
    return transport_->Exchange({}, {&incoming, 1});
  });
}

absl::StatusOr<std::unique_ptr<Communicator>> GroupCommunicator::Split(
    const std::vector<int>& ranks) {
  FACET_RETURN_IF_ERROR(transport_->Exchange({}, {}));
  FACET_CHECK(std::is_sorted(ranks.begin(), ranks.end()));
  std::vector<int> world_ranks;
  for (int rank : ranks) {
    FACET_CHECK(0 <= rank && rank < size());
    world_ranks.push_back(ranks_[rank]);
  }
  return std::make_unique<GroupCommunicator>(transport_,
                                             std::move(world_ranks));
}

CommActivity GroupCommunicator::activity() const {
  return transport_->activity();
}

std::string GroupCommunicator::LastCalls(size_t count) const {
  return transport_->LastCalls(count);
}

void GroupCommunicator::Abort(const absl::Status& status) {
  transport_->Abort(status);
}

}  // namespace facet
