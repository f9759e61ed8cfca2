// Cards whose blocks have less shared memory than Hopper's: smaller tiles, the
// same bits. On the emulation, which ends a kernel that asks for more.
#include <vector>

#include "kernels/cuda/device_test.h"
#include "kernels/cuda/emulator.h"

namespace facet {
namespace {

constexpr int kHopper = 227 * 1024, kA100 = 163 * 1024;

BackendLimits Limits() {
  BackendLimits limits;
  limits.tokens = 136;
  limits.head_dim = 256;
  limits.widest_input = 64;
  limits.fast = true;
  limits.experts_per_token = 2;
  limits.experts = 3;
  limits.hidden = limits.expert_width = 64;
  return limits;
}

class SmallCardTest : public DeviceTest {
 protected:
  SmallCardTest() : DeviceTest(Limits()) {}
  ~SmallCardTest() override { emulated::most_shared_bytes = kHopper; }
};

TEST_F(SmallCardTest, ExpertsTakeSmallerTiles) {
  const int64_t tokens = 136, hidden = 64, width = 64, experts = 3;
  std::vector<int32_t> chosen(tokens * 2);
  for (size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = static_cast<int32_t>((i + i / 2) % experts);
  }
  ExpertsArgs args;
  args.tokens = tokens;
  args.hidden = args.gate_up_stride = hidden;
  args.width = args.down_stride = width;
  args.experts_per_token = 2;
  args.experts = experts;
  args.bf16_inputs = true;
  args.x = OnDevice(Random(tokens * hidden));
  args.chosen = OnDevice(chosen);
  args.weights = OnDevice(Random(tokens * 2));
  args.gate_up = OnDevice(RandomBF16(experts * 2 * width * hidden));
  args.down = OnDevice(RandomBF16(experts * hidden * width));
  args.y = OnDevice(std::vector<float>(tokens * hidden));
  std::vector<std::vector<float>> found;
  for (const int bytes : {kHopper, kA100}) {
    emulated::most_shared_bytes = bytes;
    gpu_->Experts("test", args);
    found.push_back(FromDevice(args.y, tokens * hidden));
  }
  ExpectSameBits(found[0], found[1], "experts");
}

// One token with many keys: more of them at a time where there is room.
TEST_F(SmallCardTest, AttentionTakesFewerKeysAtATime) {
  constexpr int kPageTokens = 64, kDim = 256;
  const int64_t keys = 300, pages = (keys + kPageTokens - 1) / kPageTokens;
  std::vector<int32_t> table(pages);
  for (int64_t i = 0; i < pages; ++i) table[i] = static_cast<int32_t>(i);
  AttentionArgs args;
  args.tokens = 1;
  args.first_position = keys - 1;
  args.query_heads = args.heads_per_kv = 2;
  args.kv_heads = 1;
  args.head_dim = kDim;
  args.bf16_inputs = true;
  args.q_stride = args.y_stride = 2 * kDim;
  args.kv_dtype = DType::kBF16;
  args.page_tokens = kPageTokens;
  args.pages = table.data();
  args.q = OnDevice(Random(2 * kDim, 0.1f));
  args.k = OnDevice(RandomBF16(pages * kPageTokens * kDim));
  args.v = OnDevice(RandomBF16(pages * kPageTokens * kDim));
  args.y = OnDevice(std::vector<float>(2 * kDim));
  std::vector<std::vector<float>> found;
  for (const int bytes : {kHopper, 99 * 1024}) {
    emulated::most_shared_bytes = bytes;
    gpu_->Attention("test", {&args, 1});
    found.push_back(FromDevice(args.y, 2 * kDim));
  }
  ExpectSameBits(found[0], found[1], "attention");
}

}  // namespace
}  // namespace facet
