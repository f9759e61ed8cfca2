// A device and the processors side by side, for tests of operations. FACET_CUDA
// says which device: a GPU, or the emulation of one.
#ifndef FACET_KERNELS_CUDA_DEVICE_TEST_H_
#define FACET_KERNELS_CUDA_DEVICE_TEST_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/cuda_backend.h"

namespace facet {

class DeviceTest : public testing::Test {
 protected:
  explicit DeviceTest(const BackendLimits& limits)
      : cpu_(MakeCpuBackend(&pool_)),
        device_(Open()),
        gpu_(*device_->MakeBackend(limits)) {
    gpu_->BeginStep();
  }

  static std::unique_ptr<Device> Open() {
    auto device = FACET_CUDA::OpenDevice(0);
    if (device.ok()) return *std::move(device);
    std::fprintf(stderr, "%s\n", device.status().ToString().c_str());
    std::exit(1);
  }

  std::vector<float> Random(int64_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return values;
  }
  std::vector<BF16> RandomBF16(int64_t count, float scale = 1) {
    std::vector<BF16> values(count);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = ToBF16(Random(1, scale)[0]);
    }
    return values;
  }

  template <typename T>
  T* OnDevice(const std::vector<T>& values) {
    kept_.push_back(*DeviceMemory::Allocate(device_.get(),
                                            values.size() * sizeof(T), "test"));
    T* data = static_cast<T*>(kept_.back().data());
    EXPECT_TRUE(
        gpu_->Write(values.data(), values.size() * sizeof(T), data).ok());
    return data;
  }
  template <typename T>
  std::vector<T> FromDevice(const T* data, int64_t count) {
    std::vector<T> values(count);
    const absl::Status status =
        gpu_->Read(data, count * sizeof(T), values.data());
    EXPECT_TRUE(status.ok()) << status;
    return values;
  }

  template <typename T>
  static void ExpectSameBits(const std::vector<T>& a, const std::vector<T>& b,
                             const std::string& what) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(T)), 0) << what << " at " << i;
    }
  }

  // Kernels run for what `body` asks for.
  template <typename Body>
  int64_t KernelsOf(Body body) {
    EXPECT_TRUE(Drain().ok());
    const int64_t before = FACET_CUDA::CountsOf(*gpu_).kernels;
    body();
    EXPECT_TRUE(Drain().ok());
    return FACET_CUDA::CountsOf(*gpu_).kernels - before;
  }
  absl::Status Drain() {
    float value = 0;
    if (drained_ == nullptr) drained_ = OnDevice(std::vector<float>(1));
    return gpu_->Read(drained_, sizeof(value), &value);
  }

  float* drained_ = nullptr;
  std::mt19937 random_{11};
  ThreadPool pool_{2};
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Backend> gpu_;
  std::vector<DeviceMemory> kept_;
};

}  // namespace facet

#endif  // FACET_KERNELS_CUDA_DEVICE_TEST_H_
