// The functions of NCCL that Facet calls, found at run time: a binary starts
// where there is no NCCL, and a test puts functions of its own in their place.
#ifndef FACET_RUNTIME_COMM_NCCL_API_H_
#define FACET_RUNTIME_COMM_NCCL_API_H_

#include <climits>
#include <cstddef>

#include "absl/status/statusor.h"

namespace facet {

// As NCCL's header has them.
struct NcclUniqueId {
  char bytes[128];
};

// The fields of NCCL 2.28; a library of another version reads those it knows,
// by `size` and `version`.
struct NcclConfig {
  size_t size = sizeof(NcclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = 22809;
  int blocking = 0;
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
  int traffic_class = INT_MIN;
  const char* comm_name = nullptr;
  int collnet_enable = INT_MIN;
  int cta_policy = INT_MIN;
  int shrink_share = INT_MIN;
  int nvls_ctas = INT_MIN;
  int channels_per_net_peer = INT_MIN;
  int nvlink_centric_sched = INT_MIN;
};

inline constexpr int kNcclSuccess = 0;
inline constexpr int kNcclInProgress = 7;
inline constexpr int kNcclUint8 = 1;
inline constexpr int kNcclFloat32 = 7;
inline constexpr int kNcclSum = 0;

using NcclComm = struct ncclComm*;

// Results are 0 or an error of NCCL's; streams are the device runtime's.
struct NcclApi {
  int (*GetVersion)(int* version);
  int (*GetUniqueId)(NcclUniqueId* id);
  int (*CommInitRankConfig)(NcclComm* comm, int ranks, NcclUniqueId id,
                            int rank, NcclConfig* config);
  int (*CommGetAsyncError)(NcclComm comm, int* error);
  int (*CommAbort)(NcclComm comm);
  // Null in libraries before 2.19.
  int (*CommRegister)(NcclComm comm, void* buffer, size_t bytes, void** handle);
  int (*CommDeregister)(NcclComm comm, void* handle);
  int (*AllGather)(const void* block, void* all, size_t count, int type,
                   NcclComm comm, void* stream);
  int (*AllReduce)(const void* from, void* to, size_t count, int type,
                   int operation, NcclComm comm, void* stream);
  int (*Broadcast)(const void* from, void* to, size_t count, int type, int root,
                   NcclComm comm, void* stream);
  int (*Send)(const void* from, size_t count, int type, int peer, NcclComm comm,
              void* stream);
  int (*Recv)(void* to, size_t count, int type, int peer, NcclComm comm,
              void* stream);
  int (*GroupStart)();
  int (*GroupEnd)();
  const char* (*GetErrorString)(int error);
};

// libnccl.so.2, or what $FACET_NCCL names. Loaded once.
//
// Errors: NOT_FOUND in the loader's words; FAILED_PRECONDITION for a library
// that lacks a function.
absl::StatusOr<const NcclApi*> LoadNccl();

// For tests: what LoadNccl() returns from now on; null: the library.
void ReplaceNccl(const NcclApi* api);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_NCCL_API_H_
