#include "tests/fuzz/wire/hostile_speech.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "kernels/base/check.h"
#include "rpc/control/membership.h"
#include "rpc/control/testing/fake_link.h"
#include "rpc/control/worker_gate.h"
#include "rpc/convert/control_convert.h"
#include "rpc/worker/testing/fake_parts.h"
#include "rpc/worker/worker_session.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 16;

StepPlan Plan(uint64_t step) {
  StepPlan plan;
  plan.step = step;
  plan.slices.resize(2);
  for (size_t i = 0; i < 2; ++i) {
    plan.slices[i].sequence = {i + 1};
    plan.slices[i].tokens = {1, 2, 3};
  }
  plan.slices[0].sample = true;
  plan.slices[1].logits = LogitsWanted::kAll;
  plan.slices[1].prompt_logprobs = 2;
  return plan;
}

WorkerRegistration Worker() {
  WorkerRegistration worker;
  worker.join_token = "t";
  worker.build_id = "b";
  worker.modes = {{NumericsOptions(), "f32"}};
  worker.hostname = "alpha";
  worker.pid = 42;
  return worker;
}

// Right ones of every kind, for `step`.
std::vector<WorkerMessage> WorkerMessages(uint64_t step) {
  LogitsPiece piece;
  piece.step = step;
  piece.block.sequence = {2};
  piece.block.rows = 3;
  piece.block.vocab_end = kVocab;
  piece.values.assign(3 * kVocab, 0.5f);
  PromptLogprobsPiece logprobs;
  logprobs.step = step;
  for (int64_t position : {1, 2}) {
    PromptLogprob& one = logprobs.logprobs.emplace_back();
    one.sequence = {2};
    one.position = position;
    one.top = {{1, -1.0f}, {2, -2.0f}};
  }
  StepResult result;
  result.step = step;
  result.tokens.resize(1);
  result.tokens[0].sequence = {1};
  RankActivity activity;
  activity.running = true;
  activity.step = step;
  activity.layer = 1;
  activity.waits_for = 0;
  activity.moves = step;
  activity.operation = "#1 all-reduce 8 B";
  return {Heartbeat{},
          Heartbeat{activity},
          Worker(),
          WorkerProgress{1, 2},
          WorkerReady{},
          piece,
          result,
          logprobs,
          WorkerFailed{absl::UnavailableError("a peer is gone")}};
}

std::vector<CoordinatorMessage> CoordinatorMessages(uint64_t step) {
  WorkerAssignment place;
  place.world_key = "k";
  place.endpoints.resize(1);
  place.heartbeat_interval = absl::Milliseconds(5);
  return {Heartbeat{},
          place,
          Plan(step),
          Plan(step),
          Plan(step + 1),
          WorkerShutdown{"done"},
          WorkerRefused{absl::ResourceExhaustedError("enough")}};
}

// What arrives when one of `right` is spoiled on its way, or not; none where it
// is refused on arrival.
template <typename Message, typename Proto>
std::optional<Message> Arrive(const Message& right, Mutator& random) {
  std::string bytes = ToProto(right).SerializeAsString();
  if (random.OneIn(2)) bytes = random.Spoil(bytes);
  Proto proto;
  if (!proto.ParseFromString(bytes)) return std::nullopt;
  absl::StatusOr<Message> message = FromProto(proto);
  if (!message.ok()) return std::nullopt;
  return *std::move(message);
}

// A stream whose other end says what it is given, then ends.
class HostileLink : public CoordinatorLink {
 public:
  explicit HostileLink(std::deque<CoordinatorMessage> says)
      : says_(std::move(says)) {}

  bool Send(const WorkerMessage&) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !over_;
  }
  absl::StatusOr<CoordinatorMessage> Read() override {
    std::unique_lock<std::mutex> lock(mutex_);
    // It leaves the worker a moment for what it said.
    if (says_.empty()) {
      changed_.wait_for(lock, std::chrono::milliseconds(3),
                        [this] { return over_; });
    }
    if (over_ || says_.empty()) return absl::UnavailableError("it is gone");
    CoordinatorMessage message = std::move(says_.front());
    says_.pop_front();
    return message;
  }
  void FinishSending() override { Cancel(); }
  void Cancel() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CoordinatorMessage> says_;
  bool over_ = false;
};

}  // namespace

void MeetHostileWorker(Mutator& random) {
  MembershipOptions options;
  options.tokens = {"t", "t"};
  options.build_id = "b";
  // A hundred times as fast, so that pauses for explanations are short.
  options.clock = [start = absl::Now()] {
    return start + 100 * (absl::Now() - start);
  };
  options.heartbeat_timeout = absl::Hours(1);
  options.load_timeout = absl::Minutes(5);
  WorkerGateOptions gate_options;
  gate_options.most_spares = 2;
  WorkerGate gate(gate_options);
  const auto members = std::make_shared<Membership>(options);
  gate.Open(members);
  std::vector<int> guests;
  for (int i = 0; i < 3; ++i) {
    const auto guest = gate.OnRegister(Worker(), std::make_shared<FakeLink>());
    FACET_CHECK(guest.ok());
    guests.push_back(*guest);
  }
  // Guest 0 is honest and never answers a step; 1 and the spare 2 are hostile.
  const auto speak = [&](uint64_t step) {
    for (size_t i = random.Below(12); i > 0; --i) {
      const std::vector<WorkerMessage> right = WorkerMessages(step);
      auto message = Arrive<WorkerMessage, v1::WorkerMessage>(
          right[random.Below(right.size())], random);
      if (!message.has_value()) continue;
      gate.OnMessage(guests[1 + random.Below(2)], *std::move(message));
    }
    members->Tick();
    members->condition();
  };
  if (random.OneIn(4)) speak(1);
  std::vector<WorkerAssignment> places(2);
  places[1].rank = 1;
  std::thread ready([&] {
    absl::SleepFor(absl::Milliseconds(1));
    gate.OnMessage(guests[0], WorkerReady{});
    gate.OnMessage(guests[1], WorkerReady{});
  });
  const absl::Status formed = members->AssignAndWaitUntilReady(places);
  ready.join();
  if (formed.ok()) {
    const int steps = 1 + static_cast<int>(random.Below(3));
    for (int step = 1; step <= steps; ++step) {
      if (!members->StartStep(Plan(step), kVocab).ok()) break;
      speak(step);
    }
    // The failure of one that is healthy so far.
    if (members->health().ok()) {
      FACET_CHECK(!members->FinishStep(absl::Milliseconds(1)).ok());
    }
    FACET_CHECK(!members->health().ok());
    speak(1);
  }
  for (const int guest : guests) gate.OnGone(guest, absl::OkStatus());
}

void MeetHostileCoordinator(Mutator& random) {
  std::deque<CoordinatorMessage> says;
  for (size_t i = random.Below(10); i > 0; --i) {
    const std::vector<CoordinatorMessage> right =
        CoordinatorMessages(1 + random.Below(3));
    // The most likely beginning is a right one: behind it lies the rest.
    const size_t which =
        says.empty() && !random.OneIn(4) ? 1 : random.Below(right.size());
    auto message = Arrive<CoordinatorMessage, v1::CoordinatorMessage>(
        right[which], random);
    if (message.has_value()) says.push_back(*std::move(message));
  }
  HostileLink link(std::move(says));
  const WorkerParts parts = FakeParts(FakeWorkerOptions());
  WorkerSessionOptions options;
  options.registration = Worker();
  WorkerSession session(&link, &parts, options);
  absl::StatusOr<CommPort> port = parts.listen("localhost");
  FACET_CHECK(port.ok());
  const absl::Status status = session.Run(*std::move(port));
  // Well only when it was told to leave.
  FACET_CHECK(status.ok() || !status.message().empty());
}

}  // namespace facet
