// Operations on one device run in the order of one stream.
#ifndef FACET_KERNELS_CUDA_STREAM_H_
#define FACET_KERNELS_CUDA_STREAM_H_

// FACET_CUDA is the namespace of what a file of this folder is compiled for:
// `cuda`, or `emulated` on the host; see kernels/cuda/cuda.bzl.

struct CUstream_st;
struct CUevent_st;

namespace facet {
namespace FACET_CUDA {

using Stream = CUstream_st*;
// A place in a stream.
using Event = CUevent_st*;

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_STREAM_H_
