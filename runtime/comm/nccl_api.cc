#include "runtime/comm/nccl_api.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "kernels/base/shared_library.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr char kVariable[] = "FACET_NCCL";

absl::StatusOr<const NcclApi*> Load() {
  const char* named = std::getenv(kVariable);
  const std::string name = named != nullptr ? named : "libnccl.so.2";
  FACET_ASSIGN_OR_RETURN(
      SharedLibrary library,
      SharedLibrary::Open({&name, 1}, "NCCL", "NCCL 2.14 or later", kVariable));
  static NcclApi api;
  library.Find("ncclGetVersion", &api.GetVersion);
  library.Find("ncclGetUniqueId", &api.GetUniqueId);
  library.Find("ncclCommInitRankConfig", &api.CommInitRankConfig);
  library.Find("ncclCommGetAsyncError", &api.CommGetAsyncError);
  library.Find("ncclCommAbort", &api.CommAbort);
  // Without these buffers are copied, which is no error.
  library.FindIfThere("ncclCommRegister", &api.CommRegister);
  library.FindIfThere("ncclCommDeregister", &api.CommDeregister);
  library.Find("ncclAllGather", &api.AllGather);
  library.Find("ncclAllReduce", &api.AllReduce);
  library.Find("ncclBroadcast", &api.Broadcast);
  library.Find("ncclSend", &api.Send);
  library.Find("ncclRecv", &api.Recv);
  library.Find("ncclGroupStart", &api.GroupStart);
  library.Find("ncclGroupEnd", &api.GroupEnd);
  library.Find("ncclGetErrorString", &api.GetErrorString);
  FACET_RETURN_IF_ERROR(library.status());
  return &api;
}

std::atomic<const NcclApi*> replacement = nullptr;

}  // namespace

void ReplaceNccl(const NcclApi* api) { replacement = api; }

absl::StatusOr<const NcclApi*> LoadNccl() {
  if (const NcclApi* api = replacement) return api;
  static const absl::StatusOr<const NcclApi*> loaded = Load();
  return loaded;
}

}  // namespace facet
