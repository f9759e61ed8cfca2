#include "runtime/comm/shm_ring.h"

#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/comm/doorbell.h"
#include "runtime/comm/shm_link.h"

namespace facet {
namespace {

// A ring in plain memory, so that the thread sanitizer sees both sides.
struct Ring {
  explicit Ring(size_t capacity) : bytes(capacity) {}
  RingWriter writer() { return {&counters, bytes.data(), bytes.size()}; }
  RingReader reader() { return {&counters, bytes.data(), bytes.size()}; }

  RingCounters counters = {};
  std::vector<uint8_t> bytes;
};

TEST(ShmRingTest, WriterSeesExactlyTheSpaceThatTheReaderGaveBack) {
  Ring ring(64);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  EXPECT_TRUE(reader.Available().empty());
  EXPECT_EQ(writer.Free(64).size(), 64);
  writer.Publish(48);
  EXPECT_EQ(writer.Free(64).size(), 16);
  EXPECT_EQ(reader.Available().size(), 48);
  reader.Release(32);
  EXPECT_EQ(writer.Free(64).size(), 16) << "contiguous up to the end";
  writer.Publish(16);
  EXPECT_EQ(writer.Free(64).size(), 32) << "then from the start";
  writer.Publish(32);
  EXPECT_EQ(writer.Free(64).size(), 0);
  EXPECT_EQ(reader.Available().size(), 16) << "what was known";
  reader.Release(16);
  EXPECT_EQ(reader.Available().size(), 16) << "up to the end";
  reader.Release(16);
  EXPECT_EQ(reader.Available().size(), 32);
  EXPECT_FALSE(writer.corrupt() || reader.corrupt());
}

TEST(ShmRingTest, ImpossibleCountersOfThePeerAreNoticedBeforeMemoryIsTouched) {
  Ring ring(64);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ring.counters.written = 65;
  EXPECT_TRUE(reader.Available().empty());
  EXPECT_TRUE(reader.corrupt());
  ring.counters.read = 1;  // more than was ever written
  EXPECT_TRUE(writer.Free(65).empty());
  EXPECT_TRUE(writer.corrupt());
}

// Two ranks' worth of links over two rings.
struct Pair {
  Ring there{4096};
  Ring back{4096};
  std::unique_ptr<Doorbell> bells[2] = {std::make_unique<Doorbell>(),
                                        std::make_unique<Doorbell>()};
  ShmLink left{there.writer(), back.reader(), bells[1].get(), "rank 1"};
  ShmLink right{back.writer(), there.reader(), bells[0].get(), "rank 0"};
};

absl::Span<uint8_t> Bytes(std::vector<float>& values) {
  return {reinterpret_cast<uint8_t*>(values.data()),
          values.size() * sizeof(float)};
}

// Sends `values` and adds what arrives to them, until both are done.
void ExchangeInPlace(ShmLink& link, Doorbell& own, std::vector<float>& values) {
  Outgoing out;
  out.kind = MessageKind::kAllReduce;
  out.bytes = Bytes(values);
  Incoming in;
  in.kind = MessageKind::kAllReduce;
  in.bytes = Bytes(values);
  in.add = true;
  in.behind = &out;
  while (!out.complete() || !in.complete()) {
    const uint32_t ticket = own.Arm();
    const auto sent = link.TrySend(out);
    ASSERT_TRUE(sent.ok()) << sent.status();
    const auto received = link.TryReceive(in);
    ASSERT_TRUE(received.ok()) << received.status();
    // No wake-up is ever lost, so a long sleep must not make this test slow.
    if (*sent + *received == 0) own.Sleep(ticket, absl::Seconds(100));
  }
  own.Disarm();
}

TEST(ShmLinkTest, MessagesLargerThanTheRingAreAddedInPlace) {
  Pair pair;
  for (size_t count : {1, 3, 4, 5, 1023, 1024, 1025, 50001}) {
    std::vector<float> left(count), right(count), expected(count);
    std::iota(left.begin(), left.end(), 1.0f);
    std::iota(right.begin(), right.end(), 100.5f);
    for (size_t i = 0; i < count; ++i) expected[i] = left[i] + right[i];
    std::thread other(
        [&] { ExchangeInPlace(pair.right, *pair.bells[1], right); });
    ExchangeInPlace(pair.left, *pair.bells[0], left);
    other.join();
    EXPECT_EQ(left, expected) << count;
    EXPECT_EQ(right, expected) << count;
  }
}

TEST(ShmLinkTest, MessageOfAnotherSizeOrKindIsRefused) {
  Pair pair;
  std::vector<float> values(8);
  Outgoing out;
  out.kind = MessageKind::kBroadcast;
  out.bytes = Bytes(values);
  ASSERT_TRUE(pair.left.TrySend(out).ok());
  Incoming in;
  in.kind = MessageKind::kAllReduce;
  in.bytes = Bytes(values);
  const absl::Status status = pair.right.TryReceive(in).status();
  EXPECT_EQ(status, absl::InternalError(
                        "rank 0 sent broadcast of 32 bytes, expected "
                        "all-reduce of 32 bytes: all ranks must make the same "
                        "calls in the same order"));
}

}  // namespace
}  // namespace facet
