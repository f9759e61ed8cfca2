#include "kernels/backend/profile.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace facet {
namespace {

struct Work {
  double bytes = 0;
  double flops = 0;
};

Work WorkOf(const MatmulArgs& args) {
  const double m = args.m, n = args.n, k = args.k;
  const double matrices = args.up != nullptr ? 2 : 1;
  return {matrices * n * k * SizeOf(args.w_dtype) + 4 * (m * k + m * n),
          matrices * 2 * m * n * k};
}

Work WorkOf(absl::Span<const MatmulArgs> problems) {
  Work work;
  for (const MatmulArgs& args : problems) {
    const Work one = WorkOf(args);
    work.bytes += one.bytes;
    work.flops += one.flops;
  }
  return work;
}

Work WorkOf(const AttentionArgs& args) {
  Work work;
  double seen = 0;  // keys, summed over the queries
  for (int64_t t = 0; t < args.tokens; ++t) {
    const int64_t keys = args.first_position + t + 1;
    seen += args.window > 0 ? std::min(keys, args.window) : keys;
  }
  const int64_t last = args.first_position + args.tokens;
  const int64_t keys =
      args.window > 0 ? std::min(last, args.window + args.tokens - 1) : last;
  const double rows = 2.0 * args.tokens * args.query_heads * args.head_dim;
  work.bytes =
      2.0 * keys * args.kv_heads * args.head_dim * SizeOf(args.kv_dtype) +
      4 * rows;
  work.flops = 4 * seen * args.query_heads * args.head_dim;
  return work;
}

Work WorkOf(const ExpertsArgs& args) {
  Work work = WorkOf(args.beside);
  std::vector<bool> touched(args.experts);
  double pairs = 0, distinct = 0;
  for (int64_t i = 0; i < args.tokens * args.experts_per_token; ++i) {
    if (i / args.experts_per_token % args.replicas != args.replica) continue;
    const int64_t expert = args.chosen[i] - args.first_expert;
    if (expert < 0 || expert >= args.experts) continue;
    ++pairs;
    if (!touched[expert]) ++distinct;
    touched[expert] = true;
  }
  const double one = 1.0 * args.hidden * args.width;
  work.bytes += distinct * one *
                    (2 * SizeOf(args.gate_up_dtype) + SizeOf(args.down_dtype)) +
                8.0 * args.tokens * args.hidden;
  work.flops += pairs * 6 * one;
  return work;
}

class ProfilingBackend : public Backend {
 public:
  ProfilingBackend(std::unique_ptr<Backend> backend, Profile* profile)
      : backend_(std::move(backend)), profile_(*profile) {}

  void FetchAhead(absl::Span<const MatmulArgs> products) override {
    backend_->FetchAhead(products);
  }
  void BeginStep() override { backend_->BeginStep(); }
  absl::Status Read(const void* from, size_t bytes, void* to) override {
    return backend_->Read(from, bytes, to);
  }
  absl::Status Write(const void* from, size_t bytes, void* to) override {
    return backend_->Write(from, bytes, to);
  }

  void Embedding(const char* use, const EmbeddingArgs& args) override {
    const double values = 1.0 * args.rows.size() * args.width;
    Time(use, {values * (SizeOf(args.dtype) + 4), values},
         [&] { backend_->Embedding(use, args); });
  }
  void RopeTable(const char* use, absl::Span<const int64_t> positions,
                 absl::Span<const float> frequencies, float* cos,
                 float* sin) override {
    const double values = 2.0 * positions.size() * frequencies.size();
    Time(use, {4 * values, values},
         [&] { backend_->RopeTable(use, positions, frequencies, cos, sin); });
  }
  void RmsNorms(const char* use, absl::Span<const RmsNormArgs> chain) override {
    Work work;
    for (const RmsNormArgs& args : chain) {
      const double values = 1.0 * args.rows * args.width;
      work.bytes += values * (args.residual != nullptr ? 12 : 8);
      work.flops += 4 * values;
    }
    Time(use, work, [&] { backend_->RmsNorms(use, chain); });
  }
  void Matmuls(const char* use,
               absl::Span<const MatmulArgs> problems) override {
    Time(use, WorkOf(problems), [&] { backend_->Matmuls(use, problems); });
  }
  void AttentionInputs(const char* use,
                       const AttentionInputsArgs& args) override {
    const double values = 1.0 * args.tokens * args.head_dim *
                          (args.query_heads + 2 * args.kv_heads);
    Time(use, {8 * values, 8 * values},
         [&] { backend_->AttentionInputs(use, args); });
  }
  void Attention(const char* use,
                 absl::Span<const AttentionArgs> sequences) override {
    Work work;
    for (const AttentionArgs& args : sequences) {
      const Work one = WorkOf(args);
      work.bytes += one.bytes;
      work.flops += one.flops;
    }
    Time(use, work, [&] { backend_->Attention(use, sequences); });
  }
  void GatedGelu(const char* use, const GatedGeluArgs& args) override {
    const double values = 1.0 * args.rows * args.width;
    Time(use, {12 * values, 20 * values},
         [&] { backend_->GatedGelu(use, args); });
  }
  void Router(const char* use, const RouterArgs& args) override {
    const double values = 1.0 * args.tokens * args.experts;
    Time(use, {8 * values, 20 * values}, [&] { backend_->Router(use, args); });
  }
  void Experts(const char* use, const ExpertsArgs& args) override {
    Time(use, WorkOf(args), [&] { backend_->Experts(use, args); });
  }
  void Scale(const char* use, absl::Span<float> x, float factor) override {
    const double values = 1.0 * x.size();
    Time(use, {8 * values, values}, [&] { backend_->Scale(use, x, factor); });
  }
  void GatherRows(const char* use, absl::Span<const int64_t> rows,
                  int64_t width, const float* x, float* y) override {
    Time(use, {8.0 * rows.size() * width, 0},
         [&] { backend_->GatherRows(use, rows, width, x, y); });
  }
  void* stream() override { return backend_->stream(); }
  void AddParts(const char* use, int parts, const float* x,
                absl::Span<float> y) override {
    const double values = 1.0 * parts * y.size();
    Time(use, {4 * values, values},
         [&] { backend_->AddParts(use, parts, x, y); });
  }
  void Softcap(const char* use, absl::Span<float> x, float cap) override {
    const double values = 1.0 * x.size();
    Time(use, {8 * values, 20 * values},
         [&] { backend_->Softcap(use, x, cap); });
  }
  absl::Status TopLogits(const char* use, int64_t rows, int64_t width,
                         const float* logits, int count,
                         absl::Span<TokenLogit> best) override {
    const double values = 1.0 * rows * width;
    absl::Status status;
    Time(use, {4 * values, values}, [&] {
      status = backend_->TopLogits(use, rows, width, logits, count, best);
    });
    return status;
  }

 private:
  template <typename Run>
  void Time(const char* use, Work work, Run run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    profile_.Add(use, time.count(), work.bytes, work.flops);
  }

  const std::unique_ptr<Backend> backend_;
  Profile& profile_;
};

}  // namespace

void Profile::Add(const char* use, double seconds, double bytes, double flops) {
  const auto it = std::find_if(
      operations_.begin(), operations_.end(),
      [use](const OperationProfile& known) { return known.use == use; });
  OperationProfile& operation =
      it != operations_.end() ? *it : operations_.emplace_back();
  if (operation.calls == 0) operation.use = use;
  ++operation.calls;
  operation.seconds += seconds;
  operation.bytes += bytes;
  operation.flops += flops;
}

std::unique_ptr<Backend> MakeProfilingBackend(std::unique_ptr<Backend> backend,
                                              Profile* profile) {
  return std::make_unique<ProfilingBackend>(std::move(backend), profile);
}

}  // namespace facet
