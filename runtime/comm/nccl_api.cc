#include "runtime/comm/nccl_api.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

absl::StatusOr<const NcclApi*> Load() {
  const char* named = std::getenv("FACET_NCCL");
  const std::string path = named != nullptr ? named : "libnccl.so.2";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("NCCL: ", dlerror(),
                     "; put it on LD_LIBRARY_PATH or name it in FACET_NCCL"));
  }
  static NcclApi api;
  absl::Status status;
  const auto find = [&](const char* name, auto* function) {
    *reinterpret_cast<void**>(function) = dlsym(library, name);
    if (*function == nullptr && status.ok()) {
      status = absl::FailedPreconditionError(absl::StrCat(
          "NCCL: ", path, " has no ", name, ", expected NCCL 2.14 or later"));
    }
  };
  find("ncclGetVersion", &api.GetVersion);
  find("ncclGetUniqueId", &api.GetUniqueId);
  find("ncclCommInitRankConfig", &api.CommInitRankConfig);
  find("ncclCommGetAsyncError", &api.CommGetAsyncError);
  find("ncclCommAbort", &api.CommAbort);
  // Without these buffers are copied, which is no error.
  api.CommRegister = reinterpret_cast<decltype(api.CommRegister)>(
      dlsym(library, "ncclCommRegister"));
  api.CommDeregister = reinterpret_cast<decltype(api.CommDeregister)>(
      dlsym(library, "ncclCommDeregister"));
  find("ncclAllGather", &api.AllGather);
  find("ncclAllReduce", &api.AllReduce);
  find("ncclBroadcast", &api.Broadcast);
  find("ncclSend", &api.Send);
  find("ncclRecv", &api.Recv);
  find("ncclGroupStart", &api.GroupStart);
  find("ncclGroupEnd", &api.GroupEnd);
  find("ncclGetErrorString", &api.GetErrorString);
  if (!status.ok()) return status;
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
