#include "kernels/backend/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/rope/rope.h"
#include "kernels/softcap/softcap.h"

namespace facet {
namespace {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(ThreadPool* pool) : pool_(*pool) {}

  void FetchAhead(absl::Span<const MatmulArgs> products) override {
    FetchWeightsAhead(products, pool_);
  }
  absl::Status Read(const void* from, size_t bytes, void* to) override {
    std::memcpy(to, from, bytes);
    return absl::OkStatus();
  }
  absl::Status Write(const void* from, size_t bytes, void* to) override {
    std::memcpy(to, from, bytes);
    return absl::OkStatus();
  }

  void Embedding(const char*, const EmbeddingArgs& args) override {
    facet::Embedding(args, pool_);
  }
  void RopeTable(const char*, absl::Span<const int64_t> positions,
                 absl::Span<const float> frequencies, float* cos,
                 float* sin) override {
    facet::RopeTable(positions, frequencies, cos, sin, pool_);
  }
  void RmsNorms(const char*, absl::Span<const RmsNormArgs> chain) override {
    RmsNormChain(chain, pool_);
  }
  void Matmuls(const char*, absl::Span<const MatmulArgs> problems) override {
    Matmul(problems, pool_);
  }
  void AttentionInputs(const char*, const AttentionInputsArgs& args) override {
    facet::AttentionInputs(args, pool_);
  }
  void Attention(const char*,
                 absl::Span<const AttentionArgs> sequences) override {
    facet::Attention(sequences, pool_);
  }
  void GatedGelu(const char*, const GatedGeluArgs& args) override {
    facet::GatedGelu(args, pool_);
  }
  void Router(const char*, const RouterArgs& args) override {
    facet::Router(args, pool_);
  }
  void Experts(const char*, const ExpertsArgs& args) override {
    facet::Experts(args, experts_scratch_, pool_);
  }
  void Scale(const char*, absl::Span<float> x, float factor) override {
    pool_.ParallelFor(static_cast<int64_t>(x.size()), 16384,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i) x[i] *= factor;
                      });
  }
  void GatherRows(const char*, absl::Span<const int64_t> rows, int64_t width,
                  const float* x, float* y) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(y + i * width, x + rows[i] * width, width * sizeof(float));
    }
  }
  void AddParts(const char*, int parts, const float* x,
                absl::Span<float> y) override {
    const int64_t count = static_cast<int64_t>(y.size());
    for (int64_t i = 0; i < count; ++i) {
      float sums[64];
      for (int p = 0; p < parts; ++p) sums[p] = x[p * count + i];
      for (int step = 1; step < parts; step *= 2) {
        for (int p = 0; p < parts; p += 2 * step) sums[p] += sums[p + step];
      }
      y[i] = sums[0];
    }
  }
  void Softcap(const char*, absl::Span<float> x, float cap) override {
    SoftcapInPlace(x, cap, pool_);
  }
  absl::Status TopLogits(const char*, int64_t rows, int64_t width,
                         const float* logits, int count,
                         absl::Span<TokenLogit> best) override {
    std::fill(best.begin(), best.end(), TokenLogit{-1, 0});
    pool_.ParallelDynamic(rows, [&](int, int64_t row) {
      const std::vector<TokenLogit> top = facet::TopLogits(
          absl::MakeConstSpan(logits + row * width, width), 0, count);
      std::copy(top.begin(), top.end(), best.begin() + row * count);
    });
    return absl::OkStatus();
  }

 private:
  ThreadPool& pool_;
  ExpertsScratch experts_scratch_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(ThreadPool* pool) {
  return std::make_unique<CpuBackend>(pool);
}

}  // namespace facet
