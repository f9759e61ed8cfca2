// kernels/base/simd.h against kernels/base/math.h, bit for bit, for every
// instruction set this machine has.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/base/math.h"
#include "kernels/base/simd_test_ops.h"

namespace facet {
namespace {

std::vector<SimdTestOps> SupportedOps() {
  std::vector<SimdTestOps> supported;
  for (const SimdTestOps& ops :
       {SimdTestOpsPortable(), SimdTestOpsAvx2(), SimdTestOpsAvx512(),
        SimdTestOpsAvx512Bf16()}) {
    if (ops.isa <= BestIsa()) supported.push_back(ops);
  }
  return supported;
}

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Equal bits; any NaN equals any other.
bool Same(float a, float b) {
  return BitsOf(a) == BitsOf(b) || (a != a && b != b);
}

// Floats of every sign and exponent, without NaNs: each `step`-th bit pattern.
std::vector<float> AllFloats(uint32_t step) {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += step) {
    const float value = FromBits(static_cast<uint32_t>(bits));
    if (value == value) values.push_back(value);
  }
  for (float v : {0.0f, 1.0f, 0.625f, 10.0f, 87.0f, 88.0f,
                  std::numeric_limits<float>::infinity()}) {
    for (float sign : {1.0f, -1.0f}) {
      values.push_back(sign * v);
      values.push_back(std::nextafter(sign * v, 0.0f));
      values.push_back(std::nextafter(sign * v, sign * 1e38f));
    }
  }
  values.resize(values.size() / 16 * 16);
  return values;
}

// What x86 might treat specially.
std::vector<float> Specials() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {0.0f,       -0.0f,      1.0f,    -1.0f,        kInfinity, -kInfinity,
          1e-40f,     -1e-40f,    3e38f,   -3e38f,       1e-30f,    0.1f,
          1.0000001f, -123456.7f, 1.5e-8f, std::nanf("")};
}

class SimdTest : public testing::TestWithParam<SimdTestOps> {
 protected:
  void ExpectUnary(SimdTestOps::Unary simd, float (*scalar)(float),
                   const std::vector<float>& values) {
    float out[16];
    for (size_t i = 0; i + 16 <= values.size(); i += 16) {
      simd(&values[i], out);
      for (int lane = 0; lane < 16; ++lane) {
        ASSERT_TRUE(Same(out[lane], scalar(values[i + lane])))
            << values[i + lane] << ": " << out[lane] << ", scalar "
            << scalar(values[i + lane]);
      }
    }
  }

  // Each special value against each.
  void ExpectBinary(SimdTestOps::Binary simd, float (*scalar)(float, float)) {
    const std::vector<float> a = Specials();
    float out[16];
    for (int turn = 0; turn < 16; ++turn) {
      std::vector<float> b = a;
      std::rotate(b.begin(), b.begin() + turn, b.end());
      simd(a.data(), b.data(), out);
      for (int lane = 0; lane < 16; ++lane) {
        EXPECT_TRUE(Same(out[lane], scalar(a[lane], b[lane])))
            << a[lane] << ", " << b[lane] << ": " << out[lane];
      }
    }
  }

  const SimdTestOps& ops() const { return GetParam(); }
};

TEST_P(SimdTest, ExpHasTheScalarBitsForAllFloats) {
  ExpectUnary(ops().exp, &Exp, AllFloats(10007));
}

TEST_P(SimdTest, TanhHasTheScalarBitsForAllFloats) {
  ExpectUnary(ops().tanh, &Tanh, AllFloats(10007));
}

TEST_P(SimdTest, GeluTanhHasTheScalarBitsForAllFloats) {
  ExpectUnary(ops().gelu_tanh, &GeluTanh, AllFloats(10007));
}

TEST_P(SimdTest, SoftcapHasTheScalarBitsForAllFloats) {
  ExpectUnary(
      ops().softcap_30, [](float x) { return Softcap(x, 30.0f); },
      AllFloats(10007));
}

TEST_P(SimdTest, Pow2IsExactForEveryNormalExponent) {
  std::vector<float> exponents;
  for (int n = -126; n <= 127; ++n) exponents.push_back(n);
  exponents.resize(256, 0.0f);
  ExpectUnary(
      ops().pow2, [](float n) { return std::ldexp(1.0f, static_cast<int>(n)); },
      exponents);
}

TEST_P(SimdTest, AbsClearsTheSignAlone) {
  ExpectUnary(
      ops().abs, [](float x) { return std::fabs(x); }, AllFloats(1000003));
}

TEST_P(SimdTest, ArithmeticRoundsLikeScalars) {
  ExpectBinary(ops().add, [](float a, float b) { return a + b; });
  ExpectBinary(ops().subtract, [](float a, float b) { return a - b; });
  ExpectBinary(ops().multiply, [](float a, float b) { return a * b; });
  ExpectBinary(ops().divide, [](float a, float b) { return a / b; });
  ExpectBinary(ops().copy_sign,
               [](float a, float b) { return std::copysign(a, b); });
}

TEST_P(SimdTest, MinAndMaxTakeTheSecondOfNaNsAndZeros) {
  ExpectBinary(ops().min, [](float a, float b) { return a < b ? a : b; });
  ExpectBinary(ops().max, [](float a, float b) { return a > b ? a : b; });
}

TEST_P(SimdTest, FmaRoundsOnce) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 1000; ++i) {
    float a[16], b[16], c[16], out[16];
    for (int lane = 0; lane < 16; ++lane) {
      a[lane] = normal(random);
      b[lane] = normal(random);
      c[lane] = -a[lane] * b[lane] * (1 + 1e-6f * normal(random));
    }
    ops().fma(a, b, c, out);
    for (int lane = 0; lane < 16; ++lane) {
      ASSERT_EQ(out[lane], std::fma(a[lane], b[lane], c[lane]));
    }
  }
}

TEST_P(SimdTest, SelectFollowsTheOrderedComparison) {
  const std::vector<float> a = Specials();
  float yes[16], no[16], out[16];
  for (int lane = 0; lane < 16; ++lane) {
    yes[lane] = 100.0f + lane;
    no[lane] = 200.0f + lane;
  }
  for (int turn = 0; turn < 16; ++turn) {
    std::vector<float> b = a;
    std::rotate(b.begin(), b.begin() + turn, b.end());
    ops().select_less(a.data(), b.data(), yes, no, out);
    for (int lane = 0; lane < 16; ++lane) {
      EXPECT_EQ(out[lane], a[lane] < b[lane] ? yes[lane] : no[lane]);
    }
  }
}

TEST_P(SimdTest, ReduceAddFollowsTheOneTree) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 10000; ++i) {
    float a[16], s[16];
    for (float& v : a) v = std::ldexp(normal(random), random() % 20);
    std::copy(a, a + 16, s);
    for (int half = 8; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) s[lane] += s[lane + half];
    }
    ASSERT_EQ(ops().reduce_add(a), s[0]);
  }
}

TEST_P(SimdTest, ReduceMaxFindsTheLargestInAnyLane) {
  for (int lane = 0; lane < 16; ++lane) {
    std::vector<float> a(16, -5.0f);
    a[lane] = -1.25f;
    EXPECT_EQ(ops().reduce_max(a.data()), -1.25f);
  }
}

TEST_P(SimdTest, SetFillsEveryLane) {
  float out[16];
  ops().set(2.5f, out);
  for (float v : out) EXPECT_EQ(v, 2.5f);
}

TEST_P(SimdTest, Bf16WidensExactly) {
  for (uint32_t bits = 0; bits < 65536; bits += 16) {
    BF16 a[16];
    float out[16];
    for (int i = 0; i < 16; ++i) a[i].bits = static_cast<uint16_t>(bits + i);
    ops().load_bf16(a, out);
    for (int i = 0; i < 16; ++i) {
      ASSERT_EQ(BitsOf(out[i]), uint32_t{a[i].bits} << 16);
    }
  }
}

// Memory whose end is followed by a page that must not be touched.
class FencedPage {
 public:
  FencedPage() : size_(sysconf(_SC_PAGESIZE)) {
    base_ =
        static_cast<uint8_t*>(mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(base_ + size_, size_, PROT_NONE), 0);
  }
  ~FencedPage() { munmap(base_, 2 * size_); }

  // The last n elements before the fence.
  template <typename T>
  T* Last(int n) {
    return reinterpret_cast<T*>(base_ + size_) - n;
  }

 private:
  size_t size_;
  uint8_t* base_;
};

TEST_P(SimdTest, PartialLoadsAndStoresTouchOnlyTheirLanes) {
  FencedPage page;
  for (int n = 0; n <= 16; ++n) {
    float* const last = page.Last<float>(n);
    for (int i = 0; i < n; ++i) last[i] = 1.0f + i;
    float out[16];
    ops().load_partial(last, n, out);
    for (int i = 0; i < 16; ++i) EXPECT_EQ(out[i], i < n ? 1.0f + i : 0.0f);
    ops().load_n_or(last, n, -7.0f, out);
    for (int i = 0; i < 16; ++i) EXPECT_EQ(out[i], i < n ? 1.0f + i : -7.0f);

    float source[16];
    for (int i = 0; i < 16; ++i) source[i] = 50.0f + i;
    last[-1] = -3.0f;
    ops().store_partial(source, n, last);
    EXPECT_EQ(last[-1], -3.0f);
    for (int i = 0; i < n; ++i) EXPECT_EQ(last[i], 50.0f + i);

    BF16* const last_bf16 = page.Last<BF16>(n);
    for (int i = 0; i < n; ++i) last_bf16[i] = ToBF16(1.0f + i);
    ops().load_partial_bf16(last_bf16, n, out);
    for (int i = 0; i < 16; ++i) EXPECT_EQ(out[i], i < n ? 1.0f + i : 0.0f);
  }
}

TEST_P(SimdTest, ForEach16CoversEachIndexOnce) {
  for (int64_t count : {0, 1, 15, 16, 17, 31, 32, 100}) {
    std::vector<float> a(count), out(count + 16, -1.0f);
    for (int64_t i = 0; i < count; ++i) a[i] = static_cast<float>(i);
    ops().add_one(a.data(), count, out.data());
    for (int64_t i = 0; i < count + 16; ++i) {
      EXPECT_EQ(out[i], i < count ? i + 1.0f : -1.0f) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllInstructionSets, SimdTest,
                         testing::ValuesIn(SupportedOps()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace facet
