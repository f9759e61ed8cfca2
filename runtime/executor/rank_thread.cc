#include "runtime/executor/rank_thread.h"

#include <utility>

#include "kernels/base/check.h"

namespace facet {

RankThread::RankThread(std::unique_ptr<RankRunner> runner,
                       std::function<void(const absl::Status&)> on_failure)
    : runner_(std::move(runner)),
      on_failure_(std::move(on_failure)),
      thread_([this] { Loop(); }) {}

RankThread::~RankThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RankThread::Start(std::shared_ptr<const StepPlan> plan) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    plans_.push_back(std::move(plan));
  }
  changed_.notify_all();
}

absl::StatusOr<StepResult> RankThread::Finish() {
  std::unique_lock<std::mutex> lock(mutex_);
  FACET_CHECK(!plans_.empty() || !results_.empty());
  changed_.wait(lock, [this] { return !results_.empty(); });
  absl::StatusOr<StepResult> result = std::move(results_.front());
  results_.pop_front();
  if (!result.ok()) {
    plans_.clear();
    failed_ = false;
  }
  return result;
}

void RankThread::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock,
                  [this] { return stop_ || (!failed_ && !plans_.empty()); });
    if (stop_) return;
    const std::shared_ptr<const StepPlan> plan = plans_.front();
    lock.unlock();
    absl::StatusOr<StepResult> result = runner_->Run(*plan);
    const absl::Status status = result.status();
    if (on_failure_ && !status.ok() && !absl::IsInvalidArgument(status)) {
      on_failure_(status);
    }
    lock.lock();
    plans_.pop_front();
    failed_ = !status.ok();
    results_.push_back(std::move(result));
    changed_.notify_all();
  }
}

}  // namespace facet
