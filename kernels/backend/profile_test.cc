#include "kernels/backend/profile.h"

#include <vector>

#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"

namespace facet {
namespace {

TEST(ProfileTest, CountsTheLeastAProductMustReadAndDo) {
  ThreadPool pool(1);
  Profile profile;
  const auto backend = MakeProfilingBackend(MakeCpuBackend(&pool), &profile);
  std::vector<float> x(3 * 8, 1.0f), y(3 * 5);
  std::vector<BF16> w(5 * 8, ToBF16(0.5f));
  MatmulArgs args;
  args.m = 3;
  args.n = 5;
  args.k = args.x_stride = args.w_stride = 8;
  args.x = x.data();
  args.w = w.data();
  args.y = y.data();
  args.y_stride = 5;
  backend->Matmuls("first", absl::MakeConstSpan(&args, 1));
  backend->Scale("second", absl::MakeSpan(y), 2.0f);
  backend->Matmuls("first", absl::MakeConstSpan(&args, 1));
  EXPECT_EQ(y[14], 4.0f);
  ASSERT_EQ(profile.operations().size(), 2u);
  const OperationProfile& first = profile.operations()[0];
  EXPECT_EQ(first.use, "first");
  EXPECT_EQ(first.calls, 2);
  EXPECT_EQ(first.flops, 2 * 2 * 3 * 5 * 8);
  EXPECT_EQ(first.bytes, 2 * (2 * 5 * 8 + 4 * (3 * 8 + 3 * 5)));
  EXPECT_GT(first.seconds, 0);
  EXPECT_EQ(profile.operations()[1].use, "second");
  profile.Clear();
  EXPECT_TRUE(profile.operations().empty());
}

TEST(ProfileTest, AWindowBoundsTheKeysThatAttentionReads) {
  ThreadPool pool(1);
  Profile profile;
  const auto backend = MakeProfilingBackend(MakeCpuBackend(&pool), &profile);
  std::vector<float> q(16, 0.1f), pages(4 * 32 * 16, 0.1f), y(16);
  const int32_t table[] = {0, 1, 2, 3};
  AttentionArgs args;
  args.tokens = 1;
  args.first_position = 99;
  args.query_heads = args.kv_heads = 1;
  args.head_dim = 16;
  args.window = 40;
  args.q = q.data();
  args.k = args.v = pages.data();
  args.page_tokens = 32;
  args.pages = table;
  args.y = y.data();
  args.q_stride = args.y_stride = 16;
  backend->Attention("attention", absl::MakeConstSpan(&args, 1));
  const OperationProfile& operation = profile.operations()[0];
  EXPECT_EQ(operation.bytes, 2 * 40 * 16 * 4 + 4 * 2 * 16);
  EXPECT_EQ(operation.flops, 4 * 40 * 16);
}

}  // namespace
}  // namespace facet
