#include "rpc/coordinator/mask_maker.h"

#include <utility>

namespace facet {

MaskMaker::MaskMaker(std::function<void()> on_ready)
    : on_ready_(std::move(on_ready)) {}

MaskMaker::~MaskMaker() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void MaskMaker::Ask(uint64_t sequence, std::function<Mask()> make) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    wishes_.push_back({sequence, std::move(make)});
    ++unmade_;
  }
  changed_.notify_all();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

std::vector<MaskMaker::Made> MaskMaker::Take(absl::Duration patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMicroseconds(patience),
                    [this] { return unmade_ == 0; });
  return std::exchange(made_, {});
}

void MaskMaker::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !wishes_.empty(); });
    if (stopping_) return;
    Wish wish = std::move(wishes_.front());
    wishes_.pop_front();
    lock.unlock();
    Made made{wish.sequence, wish.make()};
    wish.make = nullptr;
    lock.lock();
    made_.push_back(std::move(made));
    --unmade_;
    changed_.notify_all();
    lock.unlock();
    on_ready_();
    lock.lock();
  }
}

}  // namespace facet
