#include "tests/soak/soak_run.h"

#include <signal.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/client/client.h"
#include "rpc/coordinator/child_process.h"
#include "tests/soak/soak_request.h"
#include "tests/soak/soak_samples.h"

namespace facet {
namespace {

// A user who has not come to an end by then hangs.
constexpr absl::Duration kLastAnswers = absl::Minutes(2);
constexpr absl::Duration kUntilAbort = absl::Minutes(2);
constexpr absl::Duration kUntilIdle = absl::Seconds(30);
constexpr absl::Duration kMeanPause = absl::Milliseconds(300);

class Soak {
 public:
  Soak(const SoakOptions& options, const ServedModel& server)
      : options_(options), server_(server) {}

  absl::Status Run() {
    FACET_ASSIGN_OR_RETURN(client_,
                           ConnectToServer(server_.grpc(), absl::Seconds(20)));
    std::deque<std::thread> threads;
    threads.emplace_back([this] { ReadNothing(); });
    absl::Status status = AwaitAbort();
    start_ = absl::Now();
    if (status.ok()) {
      for (int i = 0; i < options_.users; ++i) {
        threads.emplace_back([this, i] { Live(i); });
      }
      status = TakeSamples();
    }
    AwaitUsers(static_cast<int>(threads.size()));
    for (std::thread& thread : threads) thread.join();
    Report();
    FACET_RETURN_IF_ERROR(status);
    FACET_RETURN_IF_ERROR(CheckIdle());
    return CheckCounts();
  }

 private:
  struct Counts {
    int64_t ended = 0;    // OK
    int64_t refused = 0;  // with an error that is expected
  };

  // One user after the other until the run is over.
  void Live(int place) {
    SoakUsers users(options_.seed * 1000 + place, SlowStall());
    std::mt19937_64 random(options_.seed * 1000 + place);
    std::exponential_distribution<double> pause(
        1 / absl::ToDoubleSeconds(kMeanPause));
    while (Pause(absl::Seconds(pause(random)))) {
      const SoakUser user = users.Next();
      if (user.kind == UserKind::kVanishes) {
        Vanish(random);
      } else {
        Ask(user).IgnoreError();
      }
    }
    Leave();
  }

  // Asks at the beginning and does not read before the end.
  void ReadNothing() {
    const SoakUser user = SoakUsers(options_.seed, absl::InfiniteDuration())
                              .OfKind(UserKind::kSlow);
    const absl::Status status = Ask(user);
    if (!absl::IsResourceExhausted(status)) {
      const std::lock_guard<std::mutex> lock(mutex_);
      Fail(absl::InternalError(absl::StrCat(
          "a reader that read nothing ended with ", status.ToString())));
    }
    Leave();
  }

  // Until the server has given up the reader above. Nobody else leaves early
  // meanwhile, and all others are answered.
  absl::Status AwaitAbort() {
    SoakUsers users(options_.seed, SlowStall());
    const absl::Time deadline = absl::Now() + kUntilAbort;
    while (absl::Now() < deadline) {
      FACET_RETURN_IF_ERROR(Ask(users.OfKind(UserKind::kPlain)));
      FACET_ASSIGN_OR_RETURN(const ServerState state, server_.State());
      if (state.aborted > 0) return absl::OkStatus();
    }
    return absl::InternalError(
        "a request goes on although nobody reads its answers");
  }

  // Waits; false: the run is over.
  bool Pause(absl::Duration duration) {
    std::unique_lock<std::mutex> lock(mutex_);
    // A year is for ever, and within what the clock can add.
    return !stopped_.wait_for(
        lock,
        absl::ToChronoNanoseconds(std::min(duration, absl::Hours(24 * 365))),
        [this] { return stop_.load(); });
  }

  // Tells all users to go and waits until they have gone.
  void AwaitUsers(int users) {
    std::unique_lock<std::mutex> lock(mutex_);
    stop_ = true;
    stopped_.notify_all();
    if (left_.wait_for(lock, absl::ToChronoSeconds(kLastAnswers),
                       [&] { return gone_ == users; })) {
      return;
    }
    // Their threads cannot be ended.
    std::fprintf(stderr, "soak: %d users are without an end\n", users - gone_);
    std::_Exit(1);
  }

  void Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++gone_;
    left_.notify_all();
  }

  absl::Duration SlowStall() const {
    return std::min(options_.duration / 4, absl::Seconds(15));
  }

  absl::Status Ask(const SoakUser& user) {
    std::vector<SoakAnswer> answers(user.requests[0].n);
    int64_t tokens = 0;
    int64_t events = 0;
    const absl::Status status = client_->Generate(
        user.requests, [&](size_t request, const TextEvent& event) {
          if (request == 0) Take(event, &answers);
          tokens += static_cast<int64_t>(event.tokens.size());
          if (++events == 1 && user.stall > absl::ZeroDuration()) {
            Pause(user.stall);
          }
          return user.cancel_after < 0 || tokens < user.cancel_after;
        });
    const absl::Status checked = CheckOutcome(user, status, answers);
    const std::lock_guard<std::mutex> lock(mutex_);
    Counts& counts = counts_[static_cast<int>(user.kind)];
    ++(status.ok() ? counts.ended : counts.refused);
    if (status.ok()) ++ended_;
    if (!checked.ok()) Fail(checked);
    if (status.ok() && user.repeated >= 0) Compare(user, answers[0]);
    return status;
  }

  static void Take(const TextEvent& event, std::vector<SoakAnswer>* answers) {
    if (event.index < 0 || event.index >= static_cast<int>(answers->size())) {
      return;
    }
    SoakAnswer& answer = (*answers)[event.index];
    for (const SampledToken& token : event.tokens) {
      answer.tokens.push_back(token.token);
    }
    for (const AnswerPart& part : event.parts) {
      if (part.kind == PartKind::kAnswer) answer.text += part.text;
    }
    if (event.finish != FinishReason::kNone) answer.finish = event.finish;
  }

  // Holds mutex_.
  void Compare(const SoakUser& user, const SoakAnswer& answer) {
    const auto [first, fresh] =
        first_answers_.try_emplace(user.repeated, answer.tokens);
    if (fresh) return;
    ++compared_;
    if (first->second == answer.tokens) return;
    Fail(absl::InternalError(
        absl::StrCat("repeated request ", user.repeated,
                     " got other tokens than the first time")));
  }

  // A client process that is killed while it is answered.
  void Vanish(std::mt19937_64& random) {
    ChildProcessOptions child;
    child.executable = "/bin/sh";
    child.argv = {"sh",
                  "-c",
                  "exec \"$@\" > /dev/null 2>&1",
                  "sh",
                  options_.facet,
                  "generate",
                  absl::StrCat("--server=", server_.grpc()),
                  "--prompt=Tell me everything",
                  "--max-tokens=600",
                  "--ignore-eos"};
    auto process = ChildProcess::Start(std::move(child));
    if (process.ok()) {
      Pause(absl::Milliseconds(
          std::uniform_int_distribution<int>(50, 1500)(random)));
      (*process)->Kill(SIGKILL);
      (*process)->WaitUntilGone(absl::Now() + absl::Seconds(10));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!process.ok()) Fail(process.status());
    ++counts_[static_cast<int>(UserKind::kVanishes)].ended;
  }

  // Holds mutex_.
  void Fail(const absl::Status& why) {
    if (failures_++ < 10) {
      std::fprintf(stderr, "soak: %s\n", why.ToString().c_str());
    }
    if (first_failure_.ok()) first_failure_ = why;
  }

  absl::Status TakeSamples() {
    const absl::Time end = start_ + options_.duration;
    int64_t line = 0;
    while (absl::Now() < end) {
      absl::SleepFor(std::min(options_.sample_every, end - absl::Now()));
      FACET_ASSIGN_OR_RETURN(const MemorySample memory, server_.Memory());
      FACET_ASSIGN_OR_RETURN(last_, server_.State());
      memory_.push_back(memory);
      // A line each half minute.
      const auto half_minutes = static_cast<int64_t>(
          absl::ToDoubleSeconds(absl::Now() - start_) / 30);
      if (half_minutes == line) continue;
      line = half_minutes;
      Show();
    }
    return absl::OkStatus();
  }

  void Show() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::printf(
        "%5.0f s  %7d answered  running %3.0f  waiting %3.0f  "
        "pages %5.0f  MB",
        absl::ToDoubleSeconds(absl::Now() - start_), static_cast<int>(ended_),
        last_.running, last_.waiting, last_.used_pages);
    for (const int64_t bytes : memory_.back()) {
      std::printf(" %.1f", static_cast<double>(bytes) / 1e6);
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  void Report() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (int kind = 0; kind < kUserKinds; ++kind) {
      std::printf("%-10s %7d ended %7d refused\n",
                  Name(static_cast<UserKind>(kind)),
                  static_cast<int>(counts_[kind].ended),
                  static_cast<int>(counts_[kind].refused));
    }
    std::printf("%d answers compared with an earlier one\n",
                static_cast<int>(compared_));
    std::printf("%.0f preemptions, %.0f prompt tokens found in the cache\n",
                last_.preemptions, last_.prefix_hits);
    std::printf("%s\n", DescribeMemory(memory_).c_str());
    std::fflush(stdout);
  }

  // Everybody has left.
  absl::Status CheckIdle() {
    const absl::Time deadline = absl::Now() + kUntilIdle;
    while (true) {
      FACET_ASSIGN_OR_RETURN(const ServerState state, server_.State());
      if (state.running == 0 && state.waiting == 0 && state.used_pages == 0) {
        return absl::OkStatus();
      }
      if (absl::Now() > deadline) {
        return absl::InternalError(absl::StrFormat(
            "nobody is left, but %.0f requests run, %.0f wait and %.0f pages "
            "are in use",
            state.running, state.waiting, state.used_pages));
      }
      absl::SleepFor(absl::Milliseconds(100));
    }
  }

  absl::Status CheckCounts() {
    const std::lock_guard<std::mutex> lock(mutex_);
    FACET_RETURN_IF_ERROR(first_failure_);
    for (const UserKind kind : {UserKind::kPlain, UserKind::kRepeated,
                                UserKind::kCancels, UserKind::kShaped}) {
      if (counts_[static_cast<int>(kind)].ended > 0) continue;
      return absl::InternalError(
          absl::StrCat("nobody of the kind \"", Name(kind), "\" was answered"));
    }
    if (last_.prefix_hits == 0) {
      return absl::InternalError("the prefix cache never served anybody");
    }
    return CheckFlat(memory_, options_.memory_tolerance);
  }

  const SoakOptions& options_;
  const ServedModel& server_;
  std::unique_ptr<Client> client_;
  absl::Time start_;
  std::atomic<bool> stop_ = false;
  std::atomic<int64_t> ended_ = 0;
  std::vector<MemorySample> memory_;
  ServerState last_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  std::condition_variable left_;
  int gone_ = 0;  // users who have left
  std::array<Counts, kUserKinds> counts_;
  std::map<int, std::vector<int32_t>> first_answers_;
  int64_t compared_ = 0;
  int64_t failures_ = 0;
  absl::Status first_failure_;
};

}  // namespace

absl::Status RunSoak(const SoakOptions& options, const ServedModel& server) {
  return Soak(options, server).Run();
}

}  // namespace facet
