// Libraries that stand in for cuBLAS, each as a file of its own; see BUILD.
#include "kernels/cuda/cublas_api.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

absl::StatusOr<CublasApi> Open(std::vector<std::string> names) {
  return OpenCublas(names);
}

std::string Library(const char* name) {
  return std::string("kernels/cuda/libcublas_") + name + ".so";
}

TEST(OpenCublas, FindsEveryFunctionInTheFirstLibraryThatIsThere) {
  const auto api = Open({"/nonexistent/libcublas.so", Library("whole")});
  ASSERT_TRUE(api.ok()) << api.status();
  CublasHandle handle = nullptr;
  EXPECT_EQ(api->Create(&handle), 101);
  EXPECT_EQ(api->Destroy(handle), 102);
  EXPECT_EQ(api->SetStream(handle, nullptr), 103);
  EXPECT_EQ(api->SetWorkspace(handle, nullptr, 0), 104);
  EXPECT_EQ(api->SetMathMode(handle, 0), 105);
  EXPECT_EQ(api->GemmEx(handle, 0, 0, 1, 1, 1, nullptr, nullptr, 0, 1, nullptr,
                        0, 1, nullptr, nullptr, 0, 1, 0, 0),
            106);
  EXPECT_STREQ(api->GetStatusName(0), "stand-in");
}

TEST(OpenCublas, MissingLibraryIsNamedWithWhatToDo) {
  const auto api = Open({"/nonexistent/a.so", "/nonexistent/b.so"});
  ASSERT_EQ(api.status().code(), absl::StatusCode::kNotFound);
  const std::string message(api.status().message());
  EXPECT_THAT(message, testing::HasSubstr("/nonexistent/a.so"));
  EXPECT_THAT(message, testing::HasSubstr("/nonexistent/b.so"));
  EXPECT_THAT(message, testing::HasSubstr("LD_LIBRARY_PATH"));
  EXPECT_THAT(message, testing::HasSubstr("FACET_CUBLAS"));
}

TEST(OpenCublas, OldLibraryIsRefusedByItsVersion) {
  const auto api = Open({Library("old")});
  ASSERT_EQ(api.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(api.status().message()),
              testing::AllOf(testing::HasSubstr("is version 10.2"),
                             testing::HasSubstr("cuBLAS 11.4 or later")));
}

TEST(OpenCublas, LibraryThatLacksAFunctionIsRefusedByItsName) {
  const auto api = Open({Library("without_gemm")});
  ASSERT_EQ(api.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(api.status().message()),
              testing::HasSubstr("has no cublasGemmEx"));
}

}  // namespace
}  // namespace facet
