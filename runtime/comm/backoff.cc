#include "runtime/comm/backoff.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace facet {
namespace {

constexpr std::chrono::microseconds kYield{50};

}  // namespace

bool Backoff::Spin() {
  if (!waiting_) {
    waiting_ = true;
    spinner_.Begin();
    if (oversubscribed_) yield_end_ = std::chrono::steady_clock::now() + kYield;
  }
  if (oversubscribed_) {
    waiting_ = std::chrono::steady_clock::now() < yield_end_;
    if (waiting_) sched_yield();
  } else if (!spinner_.Spin()) {
    spinner_.End(false);
    waiting_ = false;
  }
  return waiting_;
}

void Backoff::Reset() {
  if (waiting_) spinner_.End(true);
  waiting_ = false;
}

int UsableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace facet
