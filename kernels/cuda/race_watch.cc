#include "kernels/cuda/race_watch.h"

// Of <sanitizer/tsan_interface.h>; there in builds with ThreadSanitizer alone.
extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* at);
__attribute__((weak)) void __tsan_release(void* at);
}

namespace facet {
namespace emulated {
namespace {

constexpr unsigned kWithoutOrder = 1;  // __tsan_switch_to_fiber_no_sync

}  // namespace

bool RacesAreWatched() { return __tsan_create_fiber != nullptr; }

void* ThisWatched() {
  return RacesAreWatched() ? __tsan_get_current_fiber() : nullptr;
}
void* NewWatched() {
  return RacesAreWatched() ? __tsan_create_fiber(0) : nullptr;
}
void EndWatched(void* watched) {
  if (watched != nullptr) __tsan_destroy_fiber(watched);
}
void SwitchToWatched(void* watched) {
  if (watched != nullptr) __tsan_switch_to_fiber(watched, kWithoutOrder);
}
void GiveOrder(void* at) {
  if (RacesAreWatched()) __tsan_release(at);
}
void GetOrder(void* at) {
  if (RacesAreWatched()) __tsan_acquire(at);
}

}  // namespace emulated
}  // namespace facet
