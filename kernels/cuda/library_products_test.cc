// With and without the vendor's library, on the emulation.
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_cublas.h"
#include "kernels/matmul/library_products_plan.h"

namespace facet {
namespace {

BackendLimits FastLimits() {
  BackendLimits limits;
  limits.tokens = 128;
  limits.head_dim = 64;
  limits.fast = true;
  limits.widest_input = 48;
  return limits;
}

TEST(LibraryProducts, MemoryOfTheLibraryIsPlannedFor) {
  const auto device = emulated::OpenDevice(0);
  ASSERT_TRUE(device.ok()) << device.status();
  BackendLimits exact = FastLimits();
  exact.fast = false;
  const size_t more =
      (*device)->BackendBytes(FastLimits()) - (*device)->BackendBytes(exact);
  EXPECT_GE(more, kLibraryWorkspaceBytes);
  BackendLimits few = FastLimits(), few_exact = exact;
  few.tokens = few_exact.tokens = kManyRows - 1;
  EXPECT_EQ((*device)->BackendBytes(few), (*device)->BackendBytes(few_exact))
      << "steps that never have many rows";
  BackendLimits unrounded = exact;
  unrounded.widest_input = 0;
  EXPECT_GE((*device)->BackendBytes(exact) - (*device)->BackendBytes(unrounded),
            kSumsBytes + 128 * 48 * 2);
  const emulated::HideCublas hide;
  EXPECT_EQ((*device)->BackendBytes(FastLimits()),
            (*device)->BackendBytes(exact))
      << "no library";
}

TEST(LibraryProducts, WithoutTheLibraryProductsAreFacets) {
  const auto device = emulated::OpenDevice(0);
  ASSERT_TRUE(device.ok()) << device.status();
  const emulated::HideCublas hide;
  const auto backend = (*device)->MakeBackend(FastLimits());
  ASSERT_TRUE(backend.ok()) << backend.status();
  (*backend)->BeginStep();
  const std::vector<float> x(128 * 48, 0.5f);
  const std::vector<BF16> w(16 * 48, ToBF16(2.0f));
  const auto memory = DeviceMemory::Allocate(device->get(), 1 << 20, "test");
  ASSERT_TRUE(memory.ok()) << memory.status();
  MatmulArgs args;
  args.m = 128;
  args.n = args.y_stride = 16;
  args.k = args.x_stride = args.w_stride = 48;
  args.bf16_inputs = true;
  auto* at = static_cast<char*>(memory->data());
  float* device_x = reinterpret_cast<float*>(at);
  ASSERT_TRUE((*backend)->Write(x.data(), 4 * x.size(), device_x).ok());
  ASSERT_TRUE(
      (*backend)->Write(w.data(), 2 * w.size(), at + 4 * x.size()).ok());
  args.x = device_x;
  args.w = at + 4 * x.size();
  args.y = reinterpret_cast<float*>(at + (1 << 19));
  (*backend)->Matmuls("test", {&args, 1});
  std::vector<float> y(128 * 16);
  ASSERT_TRUE((*backend)->Read(args.y, 4 * y.size(), y.data()).ok());
  EXPECT_EQ(y, std::vector<float>(y.size(), 48.0f));
  EXPECT_EQ(emulated::LibraryProductsOf(**backend), 0);
}

}  // namespace
}  // namespace facet
