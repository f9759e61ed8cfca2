// The operations on this machine's processors: those of the folders beside this
// one, on one thread pool.
#ifndef FACET_KERNELS_BACKEND_CPU_BACKEND_H_
#define FACET_KERNELS_BACKEND_CPU_BACKEND_H_

#include <memory>

#include "kernels/backend/backend.h"
#include "kernels/base/thread_pool.h"

namespace facet {

// `pool` outlives the backend.
std::unique_ptr<Backend> MakeCpuBackend(ThreadPool* pool);

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_CPU_BACKEND_H_
