// Tells ThreadSanitizer, in builds that have it, of an emulated kernel's
// threads and of what orders them, so that it finds two threads that touch the
// same memory with no barrier between: what compute-sanitizer's racecheck does
// on a GPU. Without it, all of this does nothing.
#ifndef FACET_KERNELS_CUDA_RACE_WATCH_H_
#define FACET_KERNELS_CUDA_RACE_WATCH_H_

namespace facet {
namespace emulated {

// Whether somebody watches.
bool RacesAreWatched();

// A line of execution, as ThreadSanitizer sees it. Null where nobody watches.
void* ThisWatched();
void* NewWatched();
void EndWatched(void* watched);
// From here on, this one runs. It is not thereby ordered behind what ran.
void SwitchToWatched(void* watched);

// Whoever gets `at` comes behind all who gave it.
void GiveOrder(void* at);
void GetOrder(void* at);

}  // namespace emulated
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_RACE_WATCH_H_
