#include "rpc/coordinator/worker_children.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// A process that ends within it has had a short life.
constexpr absl::Duration kShortLife = absl::Seconds(5);

absl::Duration Pause(int short_lives) {
  if (short_lives < 2) return absl::ZeroDuration();
  return std::min(absl::Milliseconds(50) * (1 << std::min(short_lives, 10)),
                  absl::Seconds(5));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerChildren>> WorkerChildren::Start(
    WorkerChildrenOptions options) {
  std::unique_ptr<WorkerChildren> all(new WorkerChildren(std::move(options)));
  all->children_.resize(all->options_.tokens.size());
  for (int i = 0; i < all->count(); ++i) {
    FACET_RETURN_IF_ERROR(all->StartOne(i));
  }
  return all;
}

absl::Status WorkerChildren::StartOne(int i) {
  ChildProcessOptions child;
  child.executable = options_.executable;
  child.argv = options_.argv;
  child.argv.push_back(absl::StrCat("--coordinator=", options_.coordinator));
  if (options_.device != "cpu") {
    child.argv.push_back(
        absl::StrCat("--device=", options_.device,
                     options_.device == "cuda" ? absl::StrCat(":", i) : ""));
  }
  // Other users can read a command line, but not an environment.
  // FACET_CHILD: what goes wrong is told here, once, and not by the child.
  child.environment = {{"FACET_JOIN_TOKEN", options_.tokens[i]},
                       {"FACET_CHILD", "1"}};
  // The process may end before Start() has told its pid.
  auto pid = std::make_shared<std::atomic<int64_t>>(-1);
  child.on_exit = [this, i, pid](const std::string& how) {
    options_.on_exit(i, *pid, how);
  };
  Child& slot = children_[i];
  slot.process = nullptr;  // one that still runs is gone after this line
  slot.ended = false;
  slot.started = absl::Now();
  FACET_ASSIGN_OR_RETURN(slot.process, ChildProcess::Start(std::move(child)));
  *pid = slot.process->pid();
  return absl::OkStatus();
}

int64_t WorkerChildren::pid(int i) const {
  return children_[i].process == nullptr ? -1 : children_[i].process->pid();
}

void WorkerChildren::Kill(int i, int signal) {
  if (children_[i].process != nullptr) children_[i].process->Kill(signal);
}

void WorkerChildren::RestartEnded() {
  const absl::Time now = absl::Now();
  for (int i = 0; i < count(); ++i) {
    Child& child = children_[i];
    if (child.process != nullptr && !child.process->WaitUntilGone(now)) {
      continue;
    }
    if (!child.ended) {
      child.ended = true;
      child.short_lives =
          now - child.started < kShortLife ? child.short_lives + 1 : 0;
      child.start_again = now + Pause(child.short_lives);
    }
    if (now < child.start_again) continue;
    // One that cannot be started counts as one that ended at once.
    StartOne(i).IgnoreError();
  }
}

absl::Status WorkerChildren::Stop(absl::Duration grace) {
  const absl::Time start = absl::Now();
  absl::Status status;
  for (const Child& child : children_) {
    if (child.process == nullptr ||
        child.process->WaitUntilGone(start + grace / 2)) {
      continue;
    }
    child.process->Kill(SIGTERM);
    if (child.process->WaitUntilGone(start + grace)) continue;
    child.process->Kill(SIGKILL);
    status = absl::DeadlineExceededError(
        absl::StrCat("the worker with pid ", child.process->pid(),
                     " did not leave; it was killed"));
  }
  children_.clear();
  return status;
}

}  // namespace facet
