// The architectures this binary has kernels for.
#ifndef FACET_KERNELS_CUDA_ARCHITECTURES_H_
#define FACET_KERNELS_CUDA_ARCHITECTURES_H_

#include "absl/status/status.h"

namespace facet {

// OK where machine code for the compute capability is in this binary, or
// intermediate code that its driver can translate.
//
// Errors: FAILED_PRECONDITION naming the device's architecture and those of
// this binary.
absl::Status CheckArchitecture(int major, int minor);

}  // namespace facet

#endif  // FACET_KERNELS_CUDA_ARCHITECTURES_H_
