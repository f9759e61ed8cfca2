// Any bytes may come as messages of a worker, of the coordinator, or as a
// peer's frames on the data plane. They are refused or taken; what is taken
// means the same when it is said again; and no worker makes a step's answer
// anything else than what the step asks for.
//
// An input is a row of messages, each behind its length in two bytes.
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/base/check.h"
#include "rpc/control/step_collector.h"
#include "rpc/convert/control_convert.h"
#include "runtime/comm/control_channel.h"
#include "tests/fuzz/fuzz_target.h"

namespace facet {
namespace {

constexpr int kWorld = 2;
constexpr int64_t kVocab = 16;

// Draws one token, wants all logits of another and log-probabilities of a
// third.
StepPlan Plan() {
  StepPlan plan;
  plan.step = 1;
  plan.slices.resize(3);
  for (size_t i = 0; i < 3; ++i) {
    plan.slices[i].sequence = {i + 1};
    plan.slices[i].tokens = {1, 2, 3};
  }
  plan.slices[0].sample = true;
  plan.slices[1].logits = LogitsWanted::kAll;
  plan.slices[2].prompt_logprobs = 2;
  return plan;
}

void CheckAnswer(const StepResult& result) {
  FACET_CHECK(result.step == 1 && result.tokens.size() == 1);
  FACET_CHECK(result.prompt_logprobs.size() <= 3);
  int64_t logits = 0;
  for (const LogitsBlock& block : result.logits) {
    logits += static_cast<int64_t>(block.values.size());
  }
  FACET_CHECK(logits <= 3 * kVocab);
}

class Conversation {
 public:
  void Hear(const std::string& bytes) {
    v1::WorkerMessage from_worker;
    if (from_worker.ParseFromString(bytes)) {
      absl::StatusOr<WorkerMessage> message = FromProto(from_worker);
      if (message.ok()) {
        FACET_CHECK(FromProto(ToProto(*message)).ok());
        Answer(*std::move(message));
      }
    }
    v1::CoordinatorMessage from_coordinator;
    if (from_coordinator.ParseFromString(bytes)) {
      const absl::StatusOr<CoordinatorMessage> message =
          FromProto(from_coordinator);
      if (message.ok()) FACET_CHECK(FromProto(ToProto(*message)).ok());
    }
  }

 private:
  // Ranks answer in turn until one says what no worker would.
  void Answer(WorkerMessage message) {
    if (over_) return;
    const int rank = heard_++ % kWorld;
    absl::Status status;
    if (auto* piece = std::get_if<LogitsPiece>(&message)) {
      status = collector_.Add(rank, std::move(*piece));
    } else if (auto* logprobs = std::get_if<PromptLogprobsPiece>(&message)) {
      status = collector_.Add(rank, std::move(*logprobs));
    } else if (auto* result = std::get_if<StepResult>(&message)) {
      status = collector_.Add(rank, std::move(*result));
    }
    over_ = !status.ok();
    if (over_ || !collector_.complete()) return;
    over_ = true;
    const absl::StatusOr<StepResult> answer = collector_.Take();
    if (answer.ok()) CheckAnswer(*answer);
  }

  const StepPlan plan_ = Plan();
  StepCollector collector_{&plan_, kWorld, kVocab};
  int heard_ = 0;
  bool over_ = false;
};

// A peer that sends `bytes` and goes.
void Peer(const std::string& bytes) {
  int ends[2];
  FACET_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  (void)!write(ends[1], bytes.data(), bytes.size());
  close(ends[1]);
  std::vector<UniqueFd> sockets(2);
  sockets[1] = UniqueFd(ends[0]);
  ControlChannel channel(std::move(sockets), {"rank 0", "rank 1"});
  // It said goodbye, or why it gave up, or its end is noticed.
  FACET_CHECK(!channel.Poll().ok() || channel.left(1));
}

}  // namespace
}  // namespace facet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  facet::Peer(input);
  facet::Conversation conversation;
  for (size_t at = 0; at + 2 <= size;) {
    const size_t length = data[at] | data[at + 1] << 8;
    conversation.Hear(input.substr(at + 2, length));
    at += 2 + length;
  }
  return 0;
}
