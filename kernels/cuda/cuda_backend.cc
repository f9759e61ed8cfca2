#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/attention/attention_cuda_plan.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/launch_line.h"
#include "kernels/cuda/library_products.h"
#include "kernels/cuda/line_recorder.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/step_inputs.h"
#include "kernels/matmul/big_products_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr size_t kStateBytesMost = size_t{1} << 30;

size_t StateBytes(const BackendLimits& limits) {
  return kMostAttentionStates * AttentionStateFloats(limits.head_dim) *
         sizeof(float);
}

size_t ExpertsBytes(const BackendLimits& limits) {
  if (limits.experts == 0) return 0;
  return ExpertsScratchBytes(limits.tokens, limits.experts_per_token,
                             limits.experts, limits.hidden, limits.expert_width,
                             limits.fast);
}

size_t TopBytes(const BackendLimits& limits) {
  return TopScratchBytes(limits.logit_rows, limits.vocab);
}

size_t RoundedBytes(const BackendLimits& limits) {
  return facet::RoundedBytes(limits.tokens, limits.widest_input);
}

// Of products of many rows.
size_t ScratchBytes(const BackendLimits& limits) {
  if (limits.tokens < kManyRows || limits.widest_input == 0) return 0;
  return RoundedBytes(limits) + kSumsBytes;
}

// Lists of a step: a few numbers per token, items of attention per token and
// head, and page tables of long sequences.
size_t StepInputBytes(const BackendLimits& limits) {
  return (size_t{8} << 20) + limits.tokens * size_t{8192};
}

// Rows of norms up to which other blocks fetch weights.
constexpr int64_t kMostRowsAhead = 32;

// To see what something is good for: FACET_CUDA_GRAPHS=0 runs every kernel by a
// call of its own, FACET_CUDA_FETCH_AHEAD=0 fetches no weights during norms.
bool IsOn(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || std::string(value) != "0";
}

class CudaBackend : public Backend {
 public:
  CudaBackend(int index, Stream stream)
      : index_(index),
        stream_(stream),
        line_(std::make_unique<LaunchLine>(stream, IsOn("FACET_CUDA_GRAPHS"),
                                           [this] { return inputs_->Send(); })),
        messages_(line_.get(), [this] { RunPending(); }) {}
  ~CudaBackend() override {
    // Nothing may run on memory that is about to go.
    Wait(stream_).IgnoreError();
    messages_.Forget();
    inputs_.reset();
    library_.reset();
    DestroyStream(stream_);
  }

  absl::Status Reserve(Device* device, const BackendLimits& limits) {
    FACET_CHECK(StateBytes(limits) <= kStateBytesMost);
    fast_ = limits.fast;
    FACET_ASSIGN_OR_RETURN(
        inputs_, StepInputs::Create(device, StepInputBytes(limits), stream_));
    FACET_ASSIGN_OR_RETURN(states_,
                           DeviceMemory::Allocate(device, StateBytes(limits),
                                                  "states of attention"));
    if (TopBytes(limits) > 0) {
      FACET_ASSIGN_OR_RETURN(
          top_,
          DeviceMemory::Allocate(device, TopBytes(limits), "best logits"));
    }
    if (ExpertsBytes(limits) > 0) {
      FACET_ASSIGN_OR_RETURN(
          experts_, DeviceMemory::Allocate(device, ExpertsBytes(limits),
                                           "outputs of experts"));
    }
    if (ScratchBytes(limits) > 0) {
      FACET_ASSIGN_OR_RETURN(
          rounded_, DeviceMemory::Allocate(device, RoundedBytes(limits),
                                           "rounded inputs of products"));
      FACET_ASSIGN_OR_RETURN(
          product_sums_,
          DeviceMemory::Allocate(device, kSumsBytes, "sums of products"));
      scratch_.rounded = static_cast<BF16*>(rounded_.data());
      scratch_.rounded_bytes = RoundedBytes(limits);
      scratch_.sums = static_cast<float*>(product_sums_.data());
      scratch_.shared_bytes = MostSharedBytes();
    }
    if (LibraryProducts::IsWanted(limits)) {
      const auto api = FindCublas();
      if (!api.ok()) {
        std::fprintf(stderr,
                     "%s; products of many rows stay with Facet's own kernels, "
                     "which are slower\n",
                     std::string(api.status().message()).c_str());
        return absl::OkStatus();
      }
      FACET_ASSIGN_OR_RETURN(
          library_, LibraryProducts::Create(*api, device, scratch_, stream_));
    }
    return absl::OkStatus();
  }

  void BeginStep() override {
    SelectDevice(index_);  // of this thread, which may not be the loading one
    RunPending();
    line_->BeginStep();
    inputs_->BeginStep();
  }

  // By the next norms, if they are of a few rows.
  void FetchAhead(absl::Span<const MatmulArgs> products) override {
    if (fetches_ahead_) ahead_ = PlanWeightsAhead(products);
  }

  absl::Status Read(const void* from, size_t bytes, void* to) override {
    FACET_RETURN_IF_ERROR(Run());
    FACET_RETURN_IF_ERROR(CopyToHost(from, bytes, to, stream_));
    return Wait(stream_);
  }
  // Waits: `from` is not pinned and may change.
  absl::Status Write(const void* from, size_t bytes, void* to) override {
    FACET_RETURN_IF_ERROR(Run());
    FACET_RETURN_IF_ERROR(CopyToDevice(from, bytes, to, stream_));
    return Wait(stream_);
  }

  void Embedding(const char*, const EmbeddingArgs& args) override {
    const int32_t* rows = inputs_->Place(args.rows.data(), args.rows.size());
    if (rows == nullptr) return;
    EmbeddingArgs placed = args;
    placed.rows = {rows, args.rows.size()};
    FACET_CUDA::Embedding(placed, line());
  }
  void RopeTable(const char*, absl::Span<const int64_t> positions,
                 absl::Span<const float> frequencies, float* cos,
                 float* sin) override {
    const int64_t* position =
        inputs_->Place(positions.data(), positions.size());
    const float* frequency =
        inputs_->Place(frequencies.data(), frequencies.size());
    if (position == nullptr || frequency == nullptr) return;
    FACET_CUDA::RopeTable(static_cast<int64_t>(positions.size()), position,
                          static_cast<int64_t>(frequencies.size()), frequency,
                          cos, sin, line());
  }
  void RmsNorms(const char*, absl::Span<const RmsNormArgs> chain) override {
    if (chain.empty()) return;
    if (sums_.has_value() && sums_->tokens == chain[0].rows) {
      const ExpertSums sums = *std::exchange(sums_, std::nullopt);
      AddExperts(sums, chain, Ahead(chain[0].rows), line());
      return;
    }
    FACET_CUDA::RmsNorms(chain, Ahead(chain[0].rows), line());
  }
  void Matmuls(const char*, absl::Span<const MatmulArgs> problems) override {
    RunPending();
    if (!problems.empty() && problems[0].w == ahead_.part[0].from) ahead_ = {};
    if (problems.size() == 1 && problems[0].m > 0) {
      product_ = problems[0];
    } else {
      Products(problems);
    }
  }
  void AttentionInputs(const char*, const AttentionInputsArgs& args) override {
    AttentionInputsArgs placed = args;
    if (args.kv_heads > 0) {
      placed.slots = inputs_->Place(args.slots, args.tokens);
      if (placed.slots == nullptr) return;
    }
    FACET_CUDA::AttentionInputs(placed, line());
  }
  void Attention(const char*,
                 absl::Span<const AttentionArgs> sequences) override {
    if (sequences.empty()) return;
    const AttentionPlan plan = PlanAttention(sequences);
    AttentionLaunch launch;
    launch.sequences =
        inputs_->Place(plan.sequences.data(), plan.sequences.size());
    launch.pages = inputs_->Place(plan.pages.data(), plan.pages.size());
    launch.items = inputs_->Place(plan.items.data(), plan.items.size());
    launch.merges = inputs_->Place(plan.merges.data(), plan.merges.size());
    if (!inputs_->status().ok()) return;
    launch.num_items = static_cast<int64_t>(plan.items.size());
    launch.num_merges = static_cast<int64_t>(plan.merges.size());
    launch.rows_per_item = plan.rows_per_item;
    launch.most_rows = plan.most_rows;
    FACET_CUDA::Attention(sequences[0], launch,
                          static_cast<float*>(states_.data()), line());
  }
  void GatedGelu(const char*, const GatedGeluArgs& args) override {
    if (product_.has_value() && GeluFollows(*product_, args) &&
        !LibraryTakes(*product_) && BigShapeFor(*product_).warps_w == 0) {
      const MatmulArgs product = *std::exchange(product_, std::nullopt);
      MatmulAndGelu(product, args, line());
      return;
    }
    FACET_CUDA::GatedGelu(args, line());
  }
  void Router(const char*, const RouterArgs& args) override {
    RunPending();
    router_ = args;
  }
  void Experts(const char*, const ExpertsArgs& args) override {
    std::optional<RouterArgs> router;
    if (router_.has_value() && router_->chosen == args.chosen &&
        router_->weights == args.weights && router_->tokens == args.tokens) {
      router.swap(router_);
    }
    RunPending();
    Products(args.beside);
    const ExpertSums sums =
        ExpertOutputs(args, router.has_value() ? &*router : nullptr, fast_,
                      experts_.data(), *line_);
    if (sums.tokens > 0) sums_ = sums;
  }
  void Scale(const char*, absl::Span<float> x, float factor) override {
    FACET_CUDA::Scale(x.data(), static_cast<int64_t>(x.size()), factor, line());
  }
  void GatherRows(const char*, absl::Span<const int64_t> rows, int64_t width,
                  const float* x, float* y) override {
    const int64_t* placed = inputs_->Place(rows.data(), rows.size());
    if (placed == nullptr) return;
    FACET_CUDA::GatherRows(static_cast<int64_t>(rows.size()), placed, width, x,
                           y, line());
  }
  // Whoever joins the stream comes behind all that was asked for. What went
  // wrong on the way is told by Read().
  void* stream() override {
    Run().IgnoreError();
    return stream_;
  }
  MessageRecorder* messages() override { return &messages_; }
  void HandOver() override { Run().IgnoreError(); }
  void AddParts(const char*, int parts, const float* x,
                absl::Span<float> y) override {
    FACET_CUDA::AddParts(parts, x, static_cast<int64_t>(y.size()), y.data(),
                         line());
  }
  void Softcap(const char*, absl::Span<float> x, float cap) override {
    FACET_CUDA::Softcap(x.data(), static_cast<int64_t>(x.size()), cap, line());
  }

  absl::Status TopLogits(const char*, int64_t rows, int64_t width,
                         const float* logits, int count,
                         absl::Span<TokenLogit> best) override {
    const TopKey* keys =
        FACET_CUDA::TopLogits(rows, width, logits, count, top_.data(), line());
    std::vector<TopKey> found(rows * count);
    FACET_RETURN_IF_ERROR(
        Read(keys, found.size() * sizeof(TopKey), found.data()));
    std::transform(found.begin(), found.end(), best.begin(), TokenLogitOf);
    return absl::OkStatus();
  }
  LaunchCounts counts() const { return line_->counts(); }
  int64_t library_products() const {
    return library_ != nullptr ? library_->count() : 0;
  }

 private:
  // For the next operation: whatever waits for one that it might go together
  // with goes first.
  KernelLine& line() {
    RunPending();
    return *line_;
  }
  void RunPending() {
    if (product_.has_value()) {
      Products({&*product_, 1});
      product_.reset();
    }
    if (router_.has_value()) {
      FACET_CUDA::Router(*router_, *line_);
      router_.reset();
    }
    if (sums_.has_value()) {
      AddExperts(*sums_, {}, {}, *line_);
      sums_.reset();
    }
  }
  // What norms of `rows` fetch meanwhile: many leave nothing idle.
  WeightsAhead Ahead(int64_t rows) {
    const WeightsAhead ahead = std::exchange(ahead_, {});
    return rows <= kMostRowsAhead ? ahead : WeightsAhead{};
  }
  bool LibraryTakes(const MatmulArgs& args) const {
    return library_ != nullptr && library_->Takes(args);
  }
  BigShape BigShapeFor(const MatmulArgs& args) const {
    return BigShapeOf(args, /*any_order=*/fast_, scratch_);
  }
  // Each in the way that is fastest.
  void Products(absl::Span<const MatmulArgs> problems) {
    std::vector<MatmulArgs> taken, big, others;
    for (const MatmulArgs& args : problems) {
      (LibraryTakes(args)              ? taken
       : BigShapeFor(args).warps_w > 0 ? big
                                       : others)
          .push_back(args);
    }
    if (!taken.empty() && library_status_.ok()) {
      library_status_ = library_->Run(taken, *line_);
    }
    absl::Span<const MatmulArgs> left = big;
    while (!left.empty()) {
      const size_t sharing = RoundSharedInput(left, scratch_.rounded, *line_);
      for (const MatmulArgs& args : left.first(sharing)) {
        BigMatmul(args, BigShapeFor(args), scratch_, *line_);
      }
      left.remove_prefix(sharing);
    }
    FACET_CUDA::Matmuls(others, *line_);
  }
  absl::Status Run() {
    RunPending();
    FACET_RETURN_IF_ERROR(line_->Run());
    FACET_RETURN_IF_ERROR(library_status_);
    return inputs_->status();
  }

  const int index_;
  const Stream stream_;
  const bool fetches_ahead_ = IsOn("FACET_CUDA_FETCH_AHEAD");
  WeightsAhead ahead_;  // for the next norms
  bool fast_ = false;
  std::unique_ptr<LaunchLine> line_;
  LineRecorder messages_;
  std::unique_ptr<StepInputs> inputs_;
  // Operations that the next one may go together with; at most one of them.
  std::optional<MatmulArgs> product_;  // before its gated GELU
  std::optional<RouterArgs> router_;   // before its experts
  std::optional<ExpertSums> sums_;     // before their norms
  DeviceMemory states_;
  DeviceMemory experts_;
  DeviceMemory top_;
  DeviceMemory rounded_;
  DeviceMemory product_sums_;
  ProductScratch scratch_;                    // both of these
  std::unique_ptr<LibraryProducts> library_;  // null: none is wanted, or there
  absl::Status library_status_;               // of its first call that failed
};

}  // namespace

size_t CudaBackendBytes(const BackendLimits& limits) {
  const bool library = LibraryProducts::IsWanted(limits) && FindCublas().ok();
  return StepInputBytes(limits) + StateBytes(limits) + ExpertsBytes(limits) +
         TopBytes(limits) + ScratchBytes(limits) +
         (library ? LibraryProducts::Bytes() : 0);
}

LaunchCounts CountsOf(const Backend& backend) {
  return static_cast<const CudaBackend&>(backend).counts();
}

int64_t LibraryProductsOf(const Backend& backend) {
  return static_cast<const CudaBackend&>(backend).library_products();
}

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(
    Device* device, int index, const BackendLimits& limits) {
  FACET_ASSIGN_OR_RETURN(const Stream stream, MakeStream());
  auto backend = std::make_unique<CudaBackend>(index, stream);
  FACET_RETURN_IF_ERROR(backend->Reserve(device, limits));
  return backend;
}

}  // namespace FACET_CUDA
}  // namespace facet
