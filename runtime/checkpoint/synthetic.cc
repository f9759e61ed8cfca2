#include "runtime/checkpoint/synthetic.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/dtype.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/checkpoint/random_checkpoint.h"
#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/checkpoint/synthetic_tokenizer.h"
#include "runtime/checkpoint/text_tensors.h"
#include "runtime/config/model_config.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kShardBytes = 2'000'000'000;
constexpr int64_t kChunkElements = 1 << 20;
constexpr uint64_t kDrawnSeed = 1;
constexpr int64_t kSpareBytes = 64 << 20;  // beside the weights

constexpr SyntheticPreset kPresets[] = {
    {"dense-1b", "the 31B pattern at 1.2 B parameters, 2.4 GB"},
    {"moe-2b", "the 26B-A4B pattern at 2.7 B parameters, 5.3 GB"},
    {"e2b", "the text model of E2B at full size, 9.3 GB"},
    {"slice-31b", "6 of the 31B's layers and its head at full size, 8.7 GB"},
    {"slice-26b-a4b",
     "6 of the 26B-A4B's layers and its head at full size, 11 GB"},
    {"31b", "the text model of 31B at full size, 61 GB"},
    {"26b-a4b", "the text model of 26B-A4B at full size, 51 GB"},
    {"tiny", "a dense model of 6 layers for tests, 3 MB"},
    {"tiny-moe", "8 experts in 6 layers for tests, 4 MB"},
};

// What presets differ in; the rest is the same for all.
struct Shape {
  int vocab = 32768;
  int hidden = 0;
  int intermediate = 0;
  int layers = 0;
  int heads = 8;
  int kv_heads = 4;
  int global_kv_heads = 1;  // 0: as sliding layers, and K and V of their own
  int head_dim = 256;
  int global_head_dim = 512;
  int window = 1024;
  int global_every = 6;
  int per_layer_width = 0;
  int sharing_layers = 0;
  bool double_wide = false;
  int experts = 0;
  int experts_per_token = 0;
  int expert_width = 0;
};

Shape ShapeOf(absl::string_view preset) {
  Shape shape;
  if (preset == "dense-1b") {
    shape.hidden = 1536;
    shape.intermediate = 6144;
    shape.layers = 30;
  } else if (preset == "moe-2b") {
    shape.hidden = 1024;
    shape.intermediate = 768;
    shape.layers = 24;
    shape.experts = 128;
    shape.experts_per_token = 8;
    shape.expert_width = 256;
  } else if (preset == "e2b") {
    shape.vocab = 262144;
    shape.hidden = 1536;
    shape.intermediate = 6144;
    shape.layers = 35;
    shape.kv_heads = 1;
    shape.global_kv_heads = 0;
    shape.window = 512;
    shape.global_every = 5;
    shape.per_layer_width = 256;
    shape.sharing_layers = 20;
    shape.double_wide = true;
  } else if (preset == "slice-31b" || preset == "31b") {
    shape.vocab = 262144;
    shape.hidden = 5376;
    shape.intermediate = 21504;
    shape.layers = preset == "31b" ? 60 : 6;
    shape.heads = 32;
    shape.kv_heads = 16;
    shape.global_kv_heads = 4;
  } else if (preset == "slice-26b-a4b" || preset == "26b-a4b") {
    shape.vocab = 262144;
    shape.hidden = 2816;
    shape.intermediate = 2112;
    shape.layers = preset == "26b-a4b" ? 30 : 6;
    shape.heads = 16;
    shape.kv_heads = 8;
    shape.global_kv_heads = 2;
    shape.experts = 128;
    shape.experts_per_token = 8;
    shape.expert_width = 704;
  } else {  // the tiny ones
    shape.vocab = 1024;
    shape.hidden = 128;
    shape.intermediate = 256;
    shape.layers = 6;
    shape.heads = 4;
    shape.kv_heads = 2;
    shape.head_dim = 32;
    shape.global_head_dim = 64;
    shape.window = 32;
    if (preset == "tiny-moe") {
      shape.intermediate = 96;
      shape.experts = 8;
      shape.experts_per_token = 2;
      shape.expert_width = 64;
    }
  }
  return shape;
}

json ConfigOf(const Shape& shape) {
  json layer_types = json::array();
  for (int i = 0; i < shape.layers; ++i) {
    const bool global =
        (i + 1) % shape.global_every == 0 || i == shape.layers - 1;
    layer_types.push_back(global ? "full_attention" : "sliding_attention");
  }
  const bool has_experts = shape.experts > 0;
  const bool k_eq_v = shape.global_kv_heads > 0;
  const auto or_null = [](int value) {
    return value > 0 ? json(value) : json(nullptr);
  };
  return {
      {"architectures", json::array({"Gemma4ForCausalLM"})},
      {"model_type", "gemma4_text"},
      {"dtype", "bfloat16"},
      {"vocab_size", shape.vocab},
      {"vocab_size_per_layer_input", shape.vocab},
      {"hidden_size", shape.hidden},
      {"hidden_size_per_layer_input", shape.per_layer_width},
      {"intermediate_size", shape.intermediate},
      {"use_double_wide_mlp", shape.double_wide},
      {"num_hidden_layers", shape.layers},
      {"layer_types", std::move(layer_types)},
      {"num_attention_heads", shape.heads},
      {"num_key_value_heads", shape.kv_heads},
      {"num_global_key_value_heads", or_null(shape.global_kv_heads)},
      {"head_dim", shape.head_dim},
      {"global_head_dim", shape.global_head_dim},
      {"attention_k_eq_v", k_eq_v},
      {"num_kv_shared_layers", shape.sharing_layers},
      {"sliding_window", shape.window},
      {"enable_moe_block", has_experts},
      {"num_experts", or_null(shape.experts)},
      {"top_k_experts", or_null(shape.experts_per_token)},
      {"moe_intermediate_size", or_null(shape.expert_width)},
      {"max_position_embeddings", 131072},
      {"rope_parameters",
       {{"sliding_attention",
         {{"rope_type", "default"}, {"rope_theta", 10000.0}}},
        {"full_attention",
         {{"rope_type", "proportional"},
          {"partial_rotary_factor", 0.25},
          {"rope_theta", 1000000.0}}}}},
      {"rms_norm_eps", 1e-6},
      {"hidden_activation", "gelu_pytorch_tanh"},
      {"final_logit_softcapping", 30.0},
      {"use_bidirectional_attention", nullptr},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"tie_word_embeddings", true},
      {"use_cache", true},
      {"pad_token_id", 0},
      {"eos_token_id", 1},
      {"bos_token_id", 2},
  };
}

absl::Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return absl::InternalError(absl::StrCat(path, ": cannot write"));
  return absl::OkStatus();
}

// The stream of bits of one chunk; chunks are independent of each other.
uint64_t SeedOf(uint64_t tensor, uint64_t chunk, uint64_t lane) {
  uint64_t x = (tensor << 40) ^ (chunk << 8) ^ lane;  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return (x ^ (x >> 31)) | 1;
}

// Uniform in (-bound, bound), from the 16-bit quarters of xorshift64.
void FillUniform(uint64_t tensor, uint64_t chunk, float bound,
                 absl::Span<BF16> out) {
  constexpr size_t kLanes = 8;
  constexpr size_t kBlock = 4 * kLanes;
  uint64_t state[kLanes];
  for (size_t i = 0; i < kLanes; ++i) state[i] = SeedOf(tensor, chunk, i);
  const float scale = bound / 32768.0f;
  BF16 block[kBlock];
  for (size_t at = 0; at < out.size(); at += kBlock) {
    for (uint64_t& x : state) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
    int16_t bits[kBlock];
    std::memcpy(bits, state, sizeof(bits));
    for (size_t i = 0; i < kBlock; ++i) {
      block[i] = ToBF16((static_cast<float>(bits[i]) + 0.5f) * scale);
    }
    std::memcpy(&out[at], block,
                std::min(kBlock, out.size() - at) * sizeof(BF16));
  }
}

// Half the width of a tensor's distribution; 0 for norms and scales.
float BoundOf(const TensorSpec& tensor, int hidden) {
  if (tensor.shape.size() < 2) return 0;
  const bool embedding = absl::StrContains(tensor.name, "embed_tokens");
  const int64_t fan_in = embedding ? hidden : tensor.shape.back();
  return static_cast<float>(std::sqrt(3.0 / static_cast<double>(fan_in)));
}

// Consecutive tensors that go into one file.
struct Shard {
  size_t begin = 0;
  size_t end = 0;
};

std::vector<Shard> CutIntoShards(const std::vector<TensorSpec>& tensors) {
  std::vector<Shard> shards = {{}};
  int64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t more = NumBytes(tensors[i]);
    if (bytes > 0 && bytes + more > kShardBytes) {
      shards.push_back({i, i});
      bytes = 0;
    }
    shards.back().end = i + 1;
    bytes += more;
  }
  return shards;
}

// A run of elements of one tensor.
struct Chunk {
  size_t tensor = 0;
  int64_t index = 0;  // in units of kChunkElements
};

// The weights, shard by shard, with all cores inside a shard.
class WeightWriter {
 public:
  WeightWriter(std::vector<TensorSpec> tensors, int hidden,
               const LoadProgress& progress)
      : tensors_(std::move(tensors)), hidden_(hidden), progress_(progress) {
    for (const TensorSpec& tensor : tensors_) total_ += NumBytes(tensor);
  }

  absl::Status Write(const std::string& directory) {
    const std::vector<Shard> shards = CutIntoShards(tensors_);
    json weight_map = json::object();
    for (size_t s = 0; s < shards.size(); ++s) {
      const std::string name = absl::StrFormat("model-%05d-of-%05d.safetensors",
                                               s + 1, shards.size());
      FACET_RETURN_IF_ERROR(
          WriteShard(shards[s], absl::StrCat(directory, "/", name)));
      for (size_t i = shards[s].begin; i < shards[s].end; ++i) {
        weight_map[tensors_[i].name] = name;
      }
    }
    const json index = {{"metadata", {{"total_size", total_}}},
                        {"weight_map", std::move(weight_map)}};
    return WriteText(directory + "/model.safetensors.index.json",
                     index.dump(1));
  }

 private:
  absl::Status WriteShard(const Shard& shard, const std::string& path) {
    FACET_ASSIGN_OR_RETURN(
        std::unique_ptr<SafetensorsWriter> writer,
        SafetensorsWriter::Create(path, {tensors_.begin() + shard.begin,
                                         tensors_.begin() + shard.end}));
    std::vector<Chunk> chunks;
    for (size_t i = shard.begin; i < shard.end; ++i) {
      const int64_t elements = NumElements(tensors_[i]);
      for (int64_t c = 0; c * kChunkElements < elements; ++c) {
        chunks.push_back({i, c});
      }
    }
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    absl::Status status;  // guarded by mutex: the first error
    const auto work = [&](bool reports) {
      std::vector<BF16> buffer;
      for (size_t at = next++; at < chunks.size() && !failed; at = next++) {
        const absl::Status written =
            WriteChunk(chunks[at], shard.begin, *writer, buffer);
        if (!written.ok()) {
          const std::lock_guard<std::mutex> lock(mutex);
          if (status.ok()) status = written;
          failed = true;
        }
        if (reports && progress_) progress_(done_, total_);
      }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) {
      threads.emplace_back(work, /*reports=*/false);
    }
    work(/*reports=*/true);
    for (std::thread& thread : threads) thread.join();
    FACET_RETURN_IF_ERROR(status);
    if (progress_) progress_(done_, total_);
    return writer->Finish();
  }

  absl::Status WriteChunk(const Chunk& chunk, size_t first_tensor,
                          SafetensorsWriter& writer,
                          std::vector<BF16>& buffer) {
    const TensorSpec& tensor = tensors_[chunk.tensor];
    const int64_t begin = chunk.index * kChunkElements;
    buffer.resize(std::min(kChunkElements, NumElements(tensor) - begin));
    const float bound = BoundOf(tensor, hidden_);
    if (bound > 0) {
      FillUniform(chunk.tensor, static_cast<uint64_t>(chunk.index), bound,
                  absl::MakeSpan(buffer));
    } else {
      std::fill(buffer.begin(), buffer.end(), ToBF16(1.0f));
    }
    const size_t bytes = buffer.size() * sizeof(BF16);
    FACET_RETURN_IF_ERROR(writer.WriteAt(
        chunk.tensor - first_tensor, begin * static_cast<int64_t>(sizeof(BF16)),
        {reinterpret_cast<const uint8_t*>(buffer.data()), bytes}));
    done_ += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  }

  const std::vector<TensorSpec> tensors_;
  const int hidden_;
  const LoadProgress& progress_;
  int64_t total_ = 0;
  std::atomic<int64_t> done_{0};
};

absl::Status PrepareDirectory(const std::string& directory, int64_t bytes) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return absl::InternalError(
        absl::StrCat(directory, ": cannot create: ", error.message()));
  }
  if (!fs::is_empty(directory, error) || error) {
    return absl::AlreadyExistsError(
        absl::StrCat(directory,
                     ": expected an empty directory or none; remove what is "
                     "there or name another"));
  }
  const fs::space_info space = fs::space(directory, error);
  if (!error && space.available < static_cast<uintmax_t>(bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(directory, ": ", bytes, " bytes needed, the disk has ",
                     space.available));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const SyntheticPreset> SyntheticPresets() { return kPresets; }

absl::Status WriteSynthetic(const std::string& preset,
                            const std::string& directory,
                            SyntheticWeights weights,
                            const LoadProgress& progress) {
  std::string known;
  bool found = false;
  for (const SyntheticPreset& candidate : kPresets) {
    found = found || preset == candidate.name;
    absl::StrAppend(&known, known.empty() ? "" : ", ", candidate.name);
  }
  if (!found) {
    return absl::InvalidArgumentError(
        absl::StrCat("preset \"", preset, "\": expected one of ", known));
  }
  const Shape shape = ShapeOf(preset);
  const std::string config = ConfigOf(shape).dump(1);
  FACET_ASSIGN_OR_RETURN(const ModelConfig model, ParseModelConfig(config));
  std::vector<TensorSpec> tensors = TextTensors(model);
  int64_t bytes = kSpareBytes;
  if (weights == SyntheticWeights::kWritten) {
    for (const TensorSpec& tensor : tensors) bytes += NumBytes(tensor);
  }
  FACET_RETURN_IF_ERROR(PrepareDirectory(directory, bytes));

  const json generation = {{"do_sample", false},
                           {"pad_token_id", 0},
                           {"eos_token_id", 1},
                           {"bos_token_id", 2}};
  const json tokenizer = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                          {"pad_token", "<pad>"},
                          {"eos_token", "<eos>"},
                          {"bos_token", "<bos>"},
                          {"unk_token", "<unk>"},
                          {"clean_up_tokenization_spaces", false}};
  FACET_RETURN_IF_ERROR(
      WriteText(directory + "/generation_config.json", generation.dump(1)));
  FACET_RETURN_IF_ERROR(
      WriteText(directory + "/tokenizer_config.json", tokenizer.dump(1)));
  FACET_RETURN_IF_ERROR(WriteText(directory + "/tokenizer.json",
                                  SyntheticTokenizerJson(shape.vocab)));
  if (weights == SyntheticWeights::kDrawn) {
    std::vector<DrawnTensor> drawn;
    for (const TensorSpec& tensor : tensors) {
      drawn.push_back(
          {tensor.name, tensor.shape, BoundOf(tensor, shape.hidden)});
    }
    FACET_RETURN_IF_ERROR(
        WriteText(absl::StrCat(directory, "/", kRandomWeightsName),
                  RandomWeightsJson(kDrawnSeed, drawn)));
  } else {
    WeightWriter writer(std::move(tensors), shape.hidden, progress);
    FACET_RETURN_IF_ERROR(writer.Write(directory));
  }
  // Last, so that a directory cut short does not pass for a model.
  return WriteText(directory + "/config.json", config);
}

}  // namespace facet
