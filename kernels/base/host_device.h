// Marks functions that the compiler of device code compiles for both sides.
#ifndef FACET_KERNELS_BASE_HOST_DEVICE_H_
#define FACET_KERNELS_BASE_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define FACET_HOST_DEVICE __host__ __device__
#else
#define FACET_HOST_DEVICE
#endif

#endif  // FACET_KERNELS_BASE_HOST_DEVICE_H_
