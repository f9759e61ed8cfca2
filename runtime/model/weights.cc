#include "runtime/model/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// IEEE half to f32, exact.
float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t mantissa = half & 1023u;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  const uint32_t bits =
      exponent == 31 ? sign | 0x7f800000u | (mantissa << 13)
                     : sign | ((exponent + 112) << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

float ElementAt(const uint8_t* data, DType dtype, int64_t i) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data + 4 * i, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * i, sizeof(bits));
  return dtype == DType::kBF16 ? ToFloat(BF16{bits}) : HalfToFloat(bits);
}

// Builds one rank's views; CheckTensors() has passed.
class Slicer {
 public:
  Slicer(const ModelConfig& model, const ShardPlan& plan, int rank,
         std::unique_ptr<Checkpoint> checkpoint)
      : model_(model), plan_(plan), rank_(rank), shard_(plan.shard(rank)) {
    out_.checkpoint = std::move(checkpoint);
  }

  Weights Run() {
    const std::string& prefix = model_.tensor_prefix;
    const WeightMatrix embedding = Matrix(prefix + "embed_tokens.weight");
    if (shard_.stage == 0 || model_.per_layer_width > 0) {
      out_.embedding = embedding;
    }
    if (shard_.stage == plan_.pp_size() - 1) {
      const WeightMatrix table =
          model_.tie_word_embeddings ? embedding : Matrix("lm_head.weight");
      out_.head = Touch(table.Rows(shard_.vocab.begin, shard_.vocab.size()));
      out_.final_norm = Vector(prefix + "norm.weight");
    }
    if (model_.per_layer_width > 0) {
      const int64_t width = model_.per_layer_width;
      out_.per_layer_embedding =
          Matrix(prefix + "embed_tokens_per_layer.weight");
      out_.per_layer_projection = Touch(
          Matrix(prefix + "per_layer_model_projection.weight")
              .Rows(shard_.layers.begin * width, shard_.layers.size() * width));
      out_.per_layer_projection_norm =
          Vector(prefix + "per_layer_projection_norm.weight");
    }
    for (int64_t i = shard_.layers.begin; i < shard_.layers.end; ++i) {
      out_.layers.push_back(Layer(static_cast<int>(i)));
    }
    return std::move(out_);
  }

 private:
  const TensorView& Tensor(const std::string& name) const {
    const TensorView* tensor = out_.checkpoint->Find(name);
    FACET_CHECK(tensor != nullptr);
    return *tensor;
  }

  // All of a tensor as a matrix of its last dimension's width.
  WeightMatrix Matrix(const std::string& name) {
    const TensorView& tensor = Tensor(name);
    WeightMatrix matrix;
    matrix.name = name;
    matrix.file = tensor.file;
    matrix.cols = tensor.shape.back();
    matrix.stride = matrix.cols;
    matrix.rows = 1;
    for (size_t d = 0; d + 1 < tensor.shape.size(); ++d) {
      matrix.rows *= tensor.shape[d];
    }
    matrix.dtype = tensor.dtype;
    matrix.data = tensor.data;
    if (tensor.dtype == DType::kF16) {
      std::vector<float> wide(matrix.rows * matrix.cols);
      for (size_t i = 0; i < wide.size(); ++i) {
        wide[i] = ElementAt(tensor.data, DType::kF16, i);
      }
      matrix.dtype = DType::kF32;
      out_.widened.push_back(std::move(wide));
      matrix.data = out_.widened.back().data();
    }
    return matrix;
  }

  WeightVector Vector(const std::string& name) const {
    const TensorView& tensor = Tensor(name);
    std::vector<float> out(tensor.bytes / SizeOf(tensor.dtype));
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = ElementAt(tensor.data, tensor.dtype, i);
    }
    return WeightVector(std::move(out));
  }

  WeightMatrix Columns(WeightMatrix matrix, int64_t begin, int64_t count) {
    matrix.data =
        static_cast<const uint8_t*>(matrix.data) + begin * SizeOf(matrix.dtype);
    matrix.cols = count;
    return matrix;
  }

  // Notes the bytes of `matrix` as ones this rank will read.
  WeightMatrix Touch(WeightMatrix matrix) {
    if (matrix.rows == 0 || matrix.cols == 0) return matrix;
    const size_t element = SizeOf(matrix.dtype);
    const uint8_t* data = static_cast<const uint8_t*>(matrix.data);
    const size_t row = matrix.cols * element;
    const size_t gap = (matrix.stride - matrix.cols) * element;
    // Short gaps are read along: pages are the grain anyway.
    if (gap < 2 * 4096) {
      out_.ranges.push_back(
          {data, (matrix.rows - 1) * matrix.stride * element + row});
    } else {
      for (int64_t i = 0; i < matrix.rows; ++i) {
        out_.ranges.push_back({data + i * matrix.stride * element, row});
      }
    }
    return matrix;
  }

  LayerWeights Layer(int i) {
    const LayerConfig& config = model_.layers[i];
    const std::string prefix =
        absl::StrCat(model_.tensor_prefix, "layers.", i, ".");
    const int64_t dim = config.head_dim;
    const IndexRange heads = shard_.query_heads;
    LayerWeights w;
    w.input_norm = Vector(prefix + "input_layernorm.weight");
    w.post_attention_norm = Vector(prefix + "post_attention_layernorm.weight");
    w.pre_ff_norm = Vector(prefix + "pre_feedforward_layernorm.weight");
    w.post_ff_norm = Vector(prefix + "post_feedforward_layernorm.weight");
    w.layer_scalar = Vector(prefix + "layer_scalar").values()[0];
    w.q = Touch(Matrix(prefix + "self_attn.q_proj.weight")
                    .Rows(heads.begin * dim, heads.size() * dim));
    w.q_norm = Vector(prefix + "self_attn.q_norm.weight");
    if (model_.owns_kv(i)) {
      const IndexRange kv = plan_.KvHeads(model_, rank_, i);
      w.k = Touch(Matrix(prefix + "self_attn.k_proj.weight")
                      .Rows(kv.begin * dim, kv.size() * dim));
      w.k_norm = Vector(prefix + "self_attn.k_norm.weight");
      if (!config.k_eq_v) {
        w.v = Touch(Matrix(prefix + "self_attn.v_proj.weight")
                        .Rows(kv.begin * dim, kv.size() * dim));
      }
    }
    w.o = Touch(Columns(Matrix(prefix + "self_attn.o_proj.weight"),
                        heads.begin * dim, heads.size() * dim));
    const IndexRange columns = plan_.MlpColumns(model_, rank_, i);
    w.gate = Touch(Matrix(prefix + "mlp.gate_proj.weight")
                       .Rows(columns.begin, columns.size()));
    w.up = Touch(Matrix(prefix + "mlp.up_proj.weight")
                     .Rows(columns.begin, columns.size()));
    w.down = Touch(Columns(Matrix(prefix + "mlp.down_proj.weight"),
                           columns.begin, columns.size()));
    if (model_.num_experts > 0) w.experts = Experts(prefix);
    if (model_.per_layer_width > 0) {
      w.per_layer.gate = Touch(Matrix(prefix + "per_layer_input_gate.weight"));
      w.per_layer.projection =
          Touch(Matrix(prefix + "per_layer_projection.weight"));
      w.per_layer.post_norm =
          Vector(prefix + "post_per_layer_input_norm.weight");
    }
    return w;
  }

  ExpertWeights Experts(const std::string& prefix) {
    ExpertWeights w;
    w.router = Touch(Matrix(prefix + "router.proj.weight"));
    w.router_scale = Vector(prefix + "router.scale");
    w.per_expert_scale = Vector(prefix + "router.per_expert_scale");
    w.pre_norm_2 = Vector(prefix + "pre_feedforward_layernorm_2.weight");
    w.post_norm_1 = Vector(prefix + "post_feedforward_layernorm_1.weight");
    w.post_norm_2 = Vector(prefix + "post_feedforward_layernorm_2.weight");
    const WeightMatrix gate_up = Matrix(prefix + "experts.gate_up_proj");
    const WeightMatrix down = Matrix(prefix + "experts.down_proj");
    const IndexRange experts = shard_.experts;
    const int64_t width = 2 * model_.expert_width;
    w.gate_up =
        Touch(gate_up.Rows(experts.begin * width, experts.size() * width));
    w.down = Touch(down.Rows(experts.begin * model_.hidden_size,
                             experts.size() * model_.hidden_size));
    return w;
  }

  const ModelConfig& model_;
  const ShardPlan& plan_;
  const int rank_;
  const RankShard& shard_;
  Weights out_;
};

// The index of the first NaN or infinity of a row, or -1.
int64_t FindNonFinite(const WeightMatrix& m, int64_t row) {
  const uint8_t* data =
      static_cast<const uint8_t*>(m.data) + row * m.stride * SizeOf(m.dtype);
  for (int64_t j = 0; j < m.cols; ++j) {
    if (m.dtype == DType::kBF16) {
      uint16_t bits;
      std::memcpy(&bits, data + 2 * j, sizeof(bits));
      if ((bits & 0x7f80u) == 0x7f80u) return j;
    } else if (!std::isfinite(ElementAt(data, m.dtype, j))) {
      return j;
    }
  }
  return -1;
}

absl::Status CheckVector(const std::vector<float>& vector, const char* what) {
  for (size_t i = 0; i < vector.size(); ++i) {
    if (!std::isfinite(vector[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, "[", i, "] is ", vector[i],
                       ", expected a finite number; the file is damaged"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

WeightMatrix WeightMatrix::Rows(int64_t begin, int64_t count) const {
  WeightMatrix slice = *this;
  slice.data =
      static_cast<const uint8_t*>(data) + begin * stride * SizeOf(dtype);
  slice.rows = count;
  return slice;
}

absl::StatusOr<Weights> SliceWeights(const ModelConfig& model,
                                     const ShardPlan& plan, int rank,
                                     std::unique_ptr<Checkpoint> checkpoint) {
  FACET_RETURN_IF_ERROR(CheckTensors(model, *checkpoint));
  return Slicer(model, plan, rank, std::move(checkpoint)).Run();
}

absl::Status CheckFinite(const Weights& weights, int num_threads) {
  std::vector<const WeightMatrix*> matrices = {
      &weights.embedding, &weights.head, &weights.per_layer_embedding,
      &weights.per_layer_projection};
  FACET_RETURN_IF_ERROR(
      CheckVector(weights.final_norm.values(), "norm.weight"));
  FACET_RETURN_IF_ERROR(CheckVector(weights.per_layer_projection_norm.values(),
                                    "per_layer_projection_norm.weight"));
  for (const LayerWeights& layer : weights.layers) {
    // A vector's name is told by the matrix beside it.
    const auto vector = [&](const WeightVector& v, const char* name) {
      return Annotate(CheckVector(v.values(), name),
                      absl::StrCat(layer.q.file, ", beside ", layer.q.name));
    };
    FACET_RETURN_IF_ERROR(vector(layer.input_norm, "input_layernorm.weight"));
    FACET_RETURN_IF_ERROR(
        vector(layer.post_attention_norm, "post_attention_layernorm.weight"));
    FACET_RETURN_IF_ERROR(
        vector(layer.pre_ff_norm, "pre_feedforward_layernorm.weight"));
    FACET_RETURN_IF_ERROR(
        vector(layer.post_ff_norm, "post_feedforward_layernorm.weight"));
    FACET_RETURN_IF_ERROR(
        vector(WeightVector({layer.layer_scalar}), "layer_scalar"));
    FACET_RETURN_IF_ERROR(vector(layer.q_norm, "self_attn.q_norm.weight"));
    FACET_RETURN_IF_ERROR(vector(layer.k_norm, "self_attn.k_norm.weight"));
    const ExpertWeights& experts = layer.experts;
    FACET_RETURN_IF_ERROR(vector(experts.router_scale, "router.scale"));
    FACET_RETURN_IF_ERROR(
        vector(experts.per_expert_scale, "router.per_expert_scale"));
    FACET_RETURN_IF_ERROR(
        vector(experts.pre_norm_2, "pre_feedforward_layernorm_2.weight"));
    FACET_RETURN_IF_ERROR(
        vector(experts.post_norm_1, "post_feedforward_layernorm_1.weight"));
    FACET_RETURN_IF_ERROR(
        vector(experts.post_norm_2, "post_feedforward_layernorm_2.weight"));
    FACET_RETURN_IF_ERROR(
        vector(layer.per_layer.post_norm, "post_per_layer_input_norm.weight"));
    for (const WeightMatrix* m :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up,
          &layer.down, &experts.router, &experts.gate_up, &experts.down,
          &layer.per_layer.gate, &layer.per_layer.projection}) {
      matrices.push_back(m);
    }
  }
  std::atomic<size_t> next{0};
  std::mutex mutex;
  absl::Status found;
  const auto scan = [&] {
    for (size_t m = next++; m < matrices.size(); m = next++) {
      const WeightMatrix& matrix = *matrices[m];
      for (int64_t row = 0; row < matrix.rows; ++row) {
        const int64_t column = FindNonFinite(matrix, row);
        if (column < 0) continue;
        const std::lock_guard<std::mutex> lock(mutex);
        found = absl::InvalidArgumentError(
            absl::StrCat(matrix.file, ": tensor ", matrix.name,
                         " holds a NaN or an infinity "
                         "(element [",
                         row, ", ", column,
                         "] of this rank's slice), expected"
                         " finite numbers; the file is damaged"));
        next = matrices.size();
        return;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < num_threads; ++i) threads.emplace_back(scan);
  scan();
  for (std::thread& thread : threads) thread.join();
  return found;
}

}  // namespace facet
