// What kernels reach of what the card does, in the shapes of Gemma 4 31B and
// 26B-A4B: one JSON object per line and figure. Weights are drawn on the host
// once and lie in more copies than the card's cache holds; every figure is the
// median of batches of launches between two events.
//
//   gpu_benchmark [products|prompts|experts|attention|launches|drawing ...]
//
// Without arguments: all of them. Of prompts, kernels are bound by arithmetic
// and measured by that, beside the products of cuBLAS on large matrices.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cublas_api.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch_line.h"
#include "kernels/cuda/read_stream.h"

namespace facet {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "gpu_benchmark: %s\n", what.c_str());
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

template <typename T>
T Value(absl::StatusOr<T> value) {
  Check(value.status());
  return *std::move(value);
}

// Larger than any second-level cache by far.
constexpr int64_t kRotatedBytes = int64_t{768} << 20;
constexpr int kBatches = 15;

class Bench {
 public:
  Bench() : device_(Value(cuda::OpenDevice(0))) {
    // Arguments change with every launch, which is no matter for graphs.
    setenv("FACET_CUDA_GRAPHS", "0", 1);
    Use(512, /*rounded=*/false, /*fast=*/false);
    cudaEventCreate(&begin_);
    cudaEventCreate(&end_);
    std::printf("{\"device\": \"%s\"}\n", device_->name().c_str());
  }

  // From here on another backend: one that rounds inputs, or is fast.
  void Use(int64_t tokens, bool rounded, bool fast) {
    BackendLimits limits;
    limits.tokens = tokens;
    limits.head_dim = 512;
    limits.experts_per_token = 8;
    limits.experts = 128;
    limits.hidden = 2816;
    limits.expert_width = 704;
    limits.widest_input = rounded ? 21504 : 0;
    limits.fast = fast;
    backend_.reset();
    backend_ = Value(device_->MakeBackend(limits));
    stream_ = static_cast<cudaStream_t>(backend_->stream());
  }

  // Random bf16 values around 1/64, repeated every 64 KiB: never zeros, which
  // cost a card less power.
  void* Weights(int64_t bytes) {
    static const std::vector<uint16_t> pattern = [] {
      std::vector<uint16_t> values(32 * 1024);
      uint32_t state = 1;
      for (uint16_t& value : values) {
        state = state * 1664525 + 1013904223;
        value = static_cast<uint16_t>(0x3c00 | (state >> 16 & 0x80ff));
      }
      return values;
    }();
    kept_.push_back(
        Value(DeviceMemory::Allocate(device_.get(), bytes, "benchmark")));
    auto* data = static_cast<uint8_t*>(kept_.back().data());
    const int64_t piece = static_cast<int64_t>(2 * pattern.size());
    for (int64_t at = 0; at < bytes; at += piece) {
      cudaMemcpyAsync(data + at, pattern.data(), std::min(piece, bytes - at),
                      cudaMemcpyHostToDevice, stream_);
    }
    cudaStreamSynchronize(stream_);
    return data;
  }
  float* Floats(int64_t count) {
    // Read as pairs of bf16 or as f32: finite and small either way.
    return static_cast<float*>(Weights(count * 4));
  }
  void Release() { kept_.clear(); }

  // run(i) launches once, i counting up. Seconds of one launch.
  double Time(int launches, const std::function<void(int)>& run) {
    int next = 0;
    std::vector<double> seconds;
    for (int batch = 0; batch < kBatches + 2; ++batch) {
      backend_->BeginStep();
      cudaEventRecord(begin_, stream_);
      for (int i = 0; i < launches; ++i) run(next++);
      backend_->stream();  // hands over what is gathered
      cudaEventRecord(end_, stream_);
      const cudaError_t error = cudaEventSynchronize(end_);
      if (error != cudaSuccess) Fail(cudaGetErrorString(error));
      float ms = 0;
      cudaEventElapsedTime(&ms, begin_, end_);
      if (batch >= 2) seconds.push_back(ms / 1e3 / launches);
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }

  void Print(const std::string& what, double seconds, double bytes) {
    const double rate = bytes / seconds / 1e9;
    std::printf(
        "{\"kernel\": \"%s\", \"us\": %.2f, \"gb_per_s\": %.0f, "
        "\"of_copy\": %.3f, \"of_read\": %.3f}\n",
        what.c_str(), seconds * 1e6, rate,
        copy_rate_ > 0 ? rate / copy_rate_ : 1.0,
        read_rate_ > 0 ? rate / read_rate_ : 1.0);
    std::fflush(stdout);
  }

  void PrintFlops(const std::string& what, double seconds, double flops) {
    const double rate = flops / seconds / 1e12;
    std::printf(
        "{\"prompt_kernel\": \"%s\", \"us\": %.1f, \"tflop_per_s\": %.1f, "
        "\"of_gemm\": %.3f}\n",
        what.c_str(), seconds * 1e6, rate,
        gemm_rate_ > 0 ? rate / gemm_rate_ : 0.0);
    std::fflush(stdout);
  }

  // What the card's best product reaches: cuBLAS on large random matrices,
  // sums and results in f32 as ours.
  void Gemm() {
    const auto api = LoadCublas();
    if (!api.ok()) {
      std::printf("{\"gemm\": \"%s\"}\n",
                  std::string(api.status().message()).c_str());
      return;
    }
    constexpr int kSize = 8192;
    void* a = Weights(int64_t{2} * kSize * kSize);
    void* b = Weights(int64_t{2} * kSize * kSize);
    void* c = Weights(int64_t{4} * kSize * kSize);
    CublasHandle handle = nullptr;
    if ((*api)->Create(&handle) != kCublasSuccess ||
        (*api)->SetStream(handle, stream_) != kCublasSuccess) {
      Fail("cuBLAS does not start");
    }
    const float one = 1, zero = 0;
    const double seconds = Time(4, [&](int) {
      const int result = (*api)->GemmEx(
          handle, kCublasTransposed, kCublasAsIs, kSize, kSize, kSize, &one, a,
          kCublasBF16, kSize, b, kCublasBF16, kSize, &zero, c, kCublasF32,
          kSize, kCublasSumsInF32, kCublasBestAlgorithm);
      if (result != kCublasSuccess) Fail((*api)->GetStatusName(result));
    });
    const double flops = 2.0 * kSize * kSize * kSize;
    gemm_rate_ = flops / seconds / 1e12;
    PrintFlops("cuBLAS [8192, 8192, 8192], bf16 to f32", seconds, flops);
    (*api)->Destroy(handle);
    Release();
  }

  // A product of a prompt, rounding and all that follows it included.
  void PromptProduct(const std::string& name, int64_t n, int64_t k,
                     int segments, bool gated, const char* how) {
    const int64_t bytes = (gated ? 2 : 1) * n * k * 2;
    const int copies =
        static_cast<int>(std::max<int64_t>(2, kRotatedBytes / 4 / bytes));
    uint8_t* w = static_cast<uint8_t*>(Weights(copies * bytes));
    float* x = Floats(4096 * k);
    float* y = Floats(4096 * n);
    for (const int64_t m : {512, 4096}) {
      MatmulArgs args;
      args.m = m;
      args.n = args.y_stride = n;
      args.k = args.x_stride = args.w_stride = k;
      args.segments = segments;
      args.bf16_inputs = true;
      args.x = x;
      args.y = y;
      const double seconds = Time(2, [&](int i) {
        args.w = w + i % copies * bytes;
        args.up = gated ? w + i % copies * bytes + n * k * 2 : nullptr;
        backend_->Matmuls("benchmark", {&args, 1});
      });
      PrintFlops(
          absl::StrCat(name, " [", n, ", ", k, "], tokens ", m, ", ", how),
          seconds, 1.0 * m * static_cast<double>(bytes));
    }
    Release();
  }

  // Reads alone, the ceiling of kernels that stream weights.
  void Read() {
    const int64_t bytes = int64_t{2} << 30;
    void* from = Weights(bytes);
    auto* out = static_cast<unsigned*>(Weights(256));
    cuda::LaunchLine line(stream_, false, [] { return absl::OkStatus(); });
    const double seconds = Time(4, [&](int) {
      cuda::ReadStream(from, bytes, out, line);
      Check(line.Run());
    });
    read_rate_ = static_cast<double>(bytes) / seconds / 1e9;
    Print("read", seconds, static_cast<double>(bytes));
    Release();
  }

  // What a kernel costs that does nothing, in a row of them.
  void Launches() {
    constexpr int kKernels = 512;
    float* x = Floats(1);
    for (const bool graphs : {false, true}) {
      setenv("FACET_CUDA_GRAPHS", graphs ? "1" : "0", 1);
      BackendLimits limits;
      limits.tokens = 1;
      limits.head_dim = 16;
      std::unique_ptr<Backend> backend = Value(device_->MakeBackend(limits));
      const auto stream = static_cast<cudaStream_t>(backend->stream());
      std::vector<double> seconds;
      for (int batch = 0; batch < kBatches + 4; ++batch) {
        backend->BeginStep();
        cudaEventRecord(begin_, stream);
        for (int i = 0; i < kKernels; ++i) {
          backend->Scale("benchmark", {x, 1}, 1.0f);
        }
        backend->stream();
        cudaEventRecord(end_, stream);
        if (cudaEventSynchronize(end_) != cudaSuccess) Fail("launches");
        float ms = 0;
        cudaEventElapsedTime(&ms, begin_, end_);
        if (batch >= 4) seconds.push_back(ms / 1e3 / kKernels);
      }
      std::sort(seconds.begin(), seconds.end());
      const cuda::LaunchCounts counts = cuda::CountsOf(*backend);
      std::printf(
          "{\"launch\": \"%s\", \"us\": %.2f, \"graphs_made\": %lld, "
          "\"calls_changed\": %lld, \"refused\": %lld}\n",
          graphs ? "in graphs of 64" : "one by one",
          seconds[seconds.size() / 2] * 1e6,
          static_cast<long long>(counts.graphs_made),
          static_cast<long long>(counts.calls_changed),
          static_cast<long long>(counts.refused));
      std::fflush(stdout);
    }
    Release();
  }

  // Reads and writes of a copy inside the card.
  void Copy() {
    const int64_t bytes = int64_t{1} << 30;
    void* from = Weights(bytes);
    void* to = Weights(bytes);
    const double seconds = Time(4, [&](int) {
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_);
    });
    copy_rate_ = 2.0 * bytes / seconds / 1e9;
    Print("copy inside the card", seconds, 2.0 * bytes);
    Release();
  }

  // Weights drawn on the card, which writes them alone.
  void Drawing() {
    const int64_t columns = 5376, rows = 200'000;
    const int64_t bytes = rows * columns * 2;
    void* to = Weights(bytes);
    std::vector<double> seconds;
    for (uint32_t number = 0; number < 5; ++number) {
      const auto start = std::chrono::steady_clock::now();
      Check(device_->Draw({1, number, 0.02f}, {0, rows, columns, columns}, to));
      seconds.push_back(std::chrono::duration<double>(
                            std::chrono::steady_clock::now() - start)
                            .count());
    }
    std::sort(seconds.begin(), seconds.end());
    Print("weights drawn", seconds[seconds.size() / 2],
          static_cast<double>(bytes));
    Release();
  }

  void Product(const char* name, int64_t n, int64_t k, int segments,
               bool gated) {
    const int64_t bytes = (gated ? 2 : 1) * n * k * 2;
    const int copies =
        static_cast<int>(std::max<int64_t>(2, kRotatedBytes / bytes));
    uint8_t* w = static_cast<uint8_t*>(Weights(copies * bytes));
    float* x = Floats(32 * k);
    float* y = Floats(32 * n);
    for (const int64_t m : {1, 2, 4, 8, 16, 32}) {
      MatmulArgs args;
      args.m = m;
      args.n = args.y_stride = n;
      args.k = args.x_stride = args.w_stride = k;
      args.segments = segments;
      args.x = x;
      args.y = y;
      const double seconds = Time(8, [&](int i) {
        args.w = w + i % copies * bytes;
        args.up = gated ? w + i % copies * bytes + n * k * 2 : nullptr;
        backend_->Matmuls("benchmark", {&args, 1});
      });
      Print(absl::StrCat(name, " [", n, ", ", k, "], tokens ", m), seconds,
            static_cast<double>(bytes));
    }
    Release();
  }

  void Attention(const char* name, int heads, int kv_heads, int head_dim,
                 int64_t window, int64_t context, int sequences,
                 int64_t tokens = 1, bool rounded = false) {
    constexpr int kPageTokens = 64;
    const int64_t first_key =
        window > 0 ? std::max<int64_t>(0, context - tokens + 1 - window) : 0;
    const int64_t seen = context - first_key;
    const int64_t first_page = first_key / kPageTokens;
    const int64_t pages =
        (context + kPageTokens - 1) / kPageTokens - first_page;
    const int64_t page_bytes = int64_t{kv_heads} * kPageTokens * head_dim * 2;
    const int64_t all = pages * sequences * page_bytes;
    const int copies =
        static_cast<int>(std::max<int64_t>(2, kRotatedBytes / (2 * all)));
    uint8_t* k = static_cast<uint8_t*>(Weights(all * copies));
    uint8_t* v = static_cast<uint8_t*>(Weights(all * copies));
    const int64_t row = int64_t{heads} * head_dim;
    float* q = Floats(sequences * tokens * row);
    float* y = Floats(sequences * tokens * row);
    std::vector<int32_t> table(pages * sequences);
    for (size_t i = 0; i < table.size(); ++i) {
      table[i] = static_cast<int32_t>(table.size() - 1 - i);
    }
    const double seconds = Time(8, [&](int i) {
      std::vector<AttentionArgs> args(sequences);
      for (int s = 0; s < sequences; ++s) {
        AttentionArgs& one = args[s];
        one.tokens = tokens;
        one.first_position = context - tokens;
        one.bf16_inputs = rounded;
        one.query_heads = heads;
        one.kv_heads = kv_heads;
        one.heads_per_kv = heads / kv_heads;
        one.head_dim = head_dim;
        one.window = window;
        one.q = q + s * tokens * row;
        one.y = y + s * tokens * row;
        one.q_stride = one.y_stride = row;
        one.k = k + i % copies * all;
        one.v = v + i % copies * all;
        one.kv_dtype = DType::kBF16;
        one.page_tokens = kPageTokens;
        one.pages = table.data() + s * pages;
        one.first_page = first_page;
      }
      backend_->Attention("benchmark", args);
    });
    Print(absl::StrCat(name, ", context ", context, ", sequences ", sequences,
                       ", tokens ", tokens, rounded ? ", rounded" : ""),
          seconds, 4.0 * seen * kv_heads * head_dim * sequences);
    Release();
  }

  void Experts(int64_t tokens, bool rounded = false) {
    const int64_t hidden = 2816, width = 704, experts = 128;
    const int64_t gate_up = experts * 2 * width * hidden * 2;
    const int64_t down = experts * hidden * width * 2;
    uint8_t* w = static_cast<uint8_t*>(Weights(gate_up + down));
    std::vector<int32_t> chosen(tokens * 8);
    std::vector<bool> touched(experts);
    for (size_t i = 0; i < chosen.size(); ++i) {
      chosen[i] = static_cast<int32_t>((i * 37 + i / 8 * 11) % experts);
      touched[chosen[i]] = true;
    }
    float* chosen_floats = Floats(tokens * 8);
    Check(backend_->Write(chosen.data(), 4 * chosen.size(), chosen_floats));
    ExpertsArgs args;
    args.tokens = tokens;
    args.hidden = args.gate_up_stride = hidden;
    args.width = args.down_stride = width;
    args.experts_per_token = 8;
    args.experts = experts;
    args.experts_per_shard = 16;
    args.x = Floats(tokens * hidden);
    args.y = Floats(tokens * hidden);
    args.chosen = reinterpret_cast<const int32_t*>(chosen_floats);
    args.weights = Floats(tokens * 8);
    args.gate_up = w;
    args.down = w + gate_up;
    args.bf16_inputs = rounded;
    const double seconds = Time(
        rounded ? 2 : 8, [&](int) { backend_->Experts("benchmark", args); });
    if (rounded) {
      PrintFlops(
          absl::StrCat("experts of 26B-A4B, tokens ", tokens, ", large tiles"),
          seconds, 2.0 * 3 * 8 * tokens * hidden * width);
      Release();
      return;
    }
    const double share =
        static_cast<double>(std::count(touched.begin(), touched.end(), true)) /
        static_cast<double>(experts);
    Print(absl::StrCat("experts of 26B-A4B, tokens ", tokens), seconds,
          share * static_cast<double>(gate_up + down));
    Release();
  }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Backend> backend_;
  std::vector<DeviceMemory> kept_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  double copy_rate_ = 0;
  double read_rate_ = 0;
  double gemm_rate_ = 0;  // TFLOP/s
};

void Products(Bench& bench) {
  bench.Product("31B q, k, v", 16384, 5376, 1, false);
  bench.Product("31B attention output", 5376, 8192, 8, false);
  bench.Product("31B gate, up", 21504, 5376, 1, true);
  bench.Product("31B down", 5376, 21504, 8, false);
  bench.Product("31B head", 262144, 5376, 1, false);
  bench.Product("26B-A4B q, k, v", 8192, 2816, 1, false);
  bench.Product("26B-A4B gate, up", 2112, 2816, 1, true);
}

// In fast mode, and as bf16-tensor has them: of the same shapes.
void Prompts(Bench& bench) {
  bench.Gemm();
  for (const bool fast : {true, false}) {
    bench.Use(4096, /*rounded=*/true, fast);
    const char* how = fast ? "fast" : "own tiles";
    bench.PromptProduct("31B gate, up", 21504, 5376, 1, true, how);
    bench.PromptProduct("31B down", 5376, 21504, 8, false, how);
    bench.PromptProduct("31B q, k, v", 16384, 5376, 1, false, how);
    bench.PromptProduct("31B attention output", 5376, 8192, 8, false, how);
    bench.PromptProduct("26B-A4B q, k, v", 8192, 2816, 1, false, how);
    bench.PromptProduct("26B-A4B gate, up", 2112, 2816, 1, true, how);
    if (!fast) continue;
    for (const int64_t tokens : {128, 512, 4096}) {
      bench.Experts(tokens, /*rounded=*/true);
    }
  }
  bench.Use(512, /*rounded=*/false, /*fast=*/false);
}

void Attention(Bench& bench) {
  for (const int sequences : {1, 8, 32}) {
    bench.Attention("31B sliding", 32, 16, 256, 1024, 2048, sequences);
    bench.Attention("31B global", 32, 4, 512, 0, 2048, sequences);
  }
  bench.Attention("31B global", 32, 4, 512, 0, 32768, 1);
  bench.Attention("31B global", 32, 4, 512, 0, 131072, 1);
  // Prompts, and decoding in the mode that takes tensor cores for them.
  for (const bool rounded : {false, true}) {
    for (const int64_t context : {512, 8192}) {
      bench.Attention("31B sliding", 32, 16, 256, 1024, context, 1, 512,
                      rounded);
      bench.Attention("31B global", 32, 4, 512, 0, context, 1, 512, rounded);
    }
  }
  bench.Attention("31B sliding", 32, 16, 256, 1024, 2048, 8, 1, true);
  bench.Attention("31B global", 32, 4, 512, 0, 2048, 8, 1, true);
  bench.Attention("31B global", 32, 4, 512, 0, 32768, 1, 1, true);
}

void Run(const std::vector<std::string>& groups) {
  const auto wanted = [&](const char* group) {
    return groups.empty() ||
           std::find(groups.begin(), groups.end(), group) != groups.end();
  };
  Bench bench;
  bench.Copy();
  bench.Read();
  if (wanted("launches")) bench.Launches();
  if (wanted("drawing")) bench.Drawing();
  if (wanted("products")) Products(bench);
  if (wanted("prompts")) Prompts(bench);
  if (wanted("experts")) {
    for (const int64_t tokens : {1, 8, 32}) bench.Experts(tokens);
  }
  if (wanted("attention")) Attention(bench);
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) { facet::Run({argv + 1, argv + argc}); }
