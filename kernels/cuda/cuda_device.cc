#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch_line.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/staged_upload.h"
#include "kernels/cuda/stream_marks.h"

namespace facet {
namespace FACET_CUDA {
namespace {

// Long enough that the copy of one half hides what starting it costs.
constexpr size_t kHalfBytes = size_t{32} << 20;

// Messages of a step of the largest model: two a layer, and parts of each.
constexpr int kMarks = 256;

class CudaDevice : public Device {
 public:
  CudaDevice(int index, std::string name)
      : index_(index), name_(std::move(name)) {}

  std::string name() const override { return name_; }
  int64_t free_bytes() const override {
    SelectDevice(index_);
    return FreeBytes();
  }
  bool speaks_nccl() const override { return HasNccl(); }

  absl::StatusOr<void*> Allocate(size_t bytes, const char* what) override {
    FACET_RETURN_IF_ERROR(UseDevice(index_));
    absl::StatusOr<void*> memory = AllocateDevice(bytes > 0 ? bytes : 1);
    if (memory.ok()) return memory;
    return absl::Status(
        memory.status().code(),
        absl::StrCat(name_, ": ", what, " take ", bytes, " bytes, ",
                     free_bytes(), " are free: ", memory.status().message()));
  }
  void Free(void* memory) override { FreeDevice(memory); }

  absl::Status Upload(const void* from, int64_t rows, size_t row_bytes,
                      size_t stride, void* to) override {
    FACET_RETURN_IF_ERROR(UseDevice(index_));
    if (upload_ == nullptr) {
      FACET_ASSIGN_OR_RETURN(upload_, StagedUpload::Create(kHalfBytes));
    }
    return upload_->Run(from, rows, row_bytes, stride, to);
  }

  absl::Status Draw(const RandomTensor& tensor, const RandomSlice& slice,
                    void* to) override {
    FACET_RETURN_IF_ERROR(UseDevice(index_));
    FACET_ASSIGN_OR_RETURN(const Stream stream, MakeStream());
    absl::Status status;
    {
      LaunchLine line(stream, /*graphs=*/false,
                      [] { return absl::OkStatus(); });
      DrawWeights(tensor, slice, static_cast<BF16*>(to), line);
      status = line.Run();
    }
    if (status.ok()) status = Wait(stream);
    DestroyStream(stream);
    return status;
  }

  size_t BackendBytes(const BackendLimits& limits) const override {
    return CudaBackendBytes(limits);
  }
  absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
      const BackendLimits& limits) override {
    FACET_RETURN_IF_ERROR(UseDevice(index_));
    upload_.reset();  // the weights are there
    return MakeCudaBackend(this, index_, limits);
  }
  absl::StatusOr<std::unique_ptr<StreamMarks>> MakeMarks(
      void* stream) override {
    FACET_RETURN_IF_ERROR(UseDevice(index_));
    return EventMarks::Create(index_, static_cast<Stream>(stream), kMarks);
  }

 private:
  const int index_;
  const std::string name_;
  std::unique_ptr<StagedUpload> upload_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(int index) {
  FACET_RETURN_IF_ERROR(UseDevice(index));
  FACET_ASSIGN_OR_RETURN(std::string name, DeviceName());
  return std::make_unique<CudaDevice>(index, std::move(name));
}

}  // namespace FACET_CUDA
}  // namespace facet
