// The way of a rank's weights to a device.
#include <algorithm>
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/model/weights.h"

namespace facet {
namespace {

int64_t BytesOf(const WeightMatrix& m) {
  return m.rows * m.cols * static_cast<int64_t>(SizeOf(m.dtype));
}

// Where `m` lies in its tensor, one of bf16.
RandomSlice SliceOf(const WeightMatrix& m, const Checkpoint& checkpoint) {
  const uint8_t* begin = checkpoint.Find(m.name)->data;
  return {(static_cast<const uint8_t*>(m.data) - begin) / 2, m.rows, m.cols,
          m.stride};
}

// Whether the rows of `part` are rows of `whole`.
bool IsWithin(const WeightMatrix& part, const WeightMatrix& whole) {
  const auto* begin = static_cast<const uint8_t*>(whole.data);
  const auto* data = static_cast<const uint8_t*>(part.data);
  return !part.empty() && !whole.empty() && part.stride == whole.stride &&
         part.cols == whole.cols && data >= begin &&
         data < begin + BytesOf(whole);
}

// Everything that goes to a device, through one visitor: for its size and for
// its way there. A head that is tied to the embedding goes with it.
template <typename W, typename Matrix, typename Vector>
void ForEachWeight(W& weights, Matrix matrix, Vector vector) {
  const bool tied = IsWithin(weights.head, weights.embedding);
  matrix(weights.embedding);
  if (!tied) matrix(weights.head);
  vector(weights.final_norm);
  matrix(weights.per_layer_embedding);
  matrix(weights.per_layer_projection);
  vector(weights.per_layer_projection_norm);
  for (auto& w : weights.layers) {
    for (auto* m : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down,
                    &w.experts.router, &w.experts.gate_up, &w.experts.down,
                    &w.per_layer.gate, &w.per_layer.projection}) {
      matrix(*m);
    }
    for (auto* v : {&w.input_norm, &w.post_attention_norm, &w.pre_ff_norm,
                    &w.post_ff_norm, &w.q_norm, &w.k_norm,
                    &w.experts.router_scale, &w.experts.per_expert_scale,
                    &w.experts.pre_norm_2, &w.experts.post_norm_1,
                    &w.experts.post_norm_2, &w.per_layer.post_norm}) {
      vector(*v);
    }
  }
}

}  // namespace

int64_t PlacedBytes(const Weights& weights) {
  int64_t bytes = 0;
  ForEachWeight(
      weights, [&](const WeightMatrix& m) { bytes += BytesOf(m); },
      [&](const WeightVector& v) { bytes += 4 * v.values().size(); });
  return bytes;
}

absl::Status DrawWeights(int num_threads, const LoadProgress& progress,
                         Weights* weights) {
  std::vector<ByteRange> ranges = weights->ranges;
  // Rows are gathered from anywhere in these.
  for (const WeightMatrix* table :
       {&weights->embedding, &weights->per_layer_embedding}) {
    if (table->empty()) continue;
    ranges.push_back({static_cast<const uint8_t*>(table->data),
                      static_cast<size_t>(BytesOf(*table))});
  }
  return weights->checkpoint->Draw(ranges, num_threads, progress);
}

absl::Status PlaceWeights(Device* device, const LoadProgress& progress,
                          Weights* weights) {
  const int64_t total = PlacedBytes(*weights);
  int64_t done = 0;
  absl::Status status;
  // fill(memory) brings the bytes there.
  const auto place = [&](size_t bytes, auto fill) -> const void* {
    if (!status.ok() || bytes == 0) return nullptr;
    absl::StatusOr<DeviceMemory> memory =
        DeviceMemory::Allocate(device, bytes, "weights");
    if (!memory.ok()) {
      status = memory.status();
      return nullptr;
    }
    status = fill(memory->data());
    done += static_cast<int64_t>(bytes);
    if (progress) progress(done, total);
    weights->placed.push_back(*std::move(memory));
    return weights->placed.back().data();
  };
  const auto fill_matrix = [&](const WeightMatrix& m, void* to) {
    const RandomTensor* random = weights->checkpoint->FindRandom(m.name);
    if (random != nullptr) {
      return device->Draw(*random, SliceOf(m, *weights->checkpoint), to);
    }
    const size_t element = SizeOf(m.dtype);
    return device->Upload(m.data, m.rows, m.cols * element, m.stride * element,
                          to);
  };
  const WeightMatrix tied = IsWithin(weights->head, weights->embedding)
                                ? weights->embedding
                                : WeightMatrix();
  ForEachWeight(
      *weights,
      [&](WeightMatrix& m) {
        if (m.empty()) return;
        m.data =
            place(BytesOf(m), [&](void* to) { return fill_matrix(m, to); });
        m.stride = m.cols;
      },
      [&](WeightVector& v) {
        if (v.values().empty()) return;
        const size_t bytes = 4 * v.values().size();
        v.PlaceAt(static_cast<const float*>(place(bytes, [&](void* to) {
          return device->Upload(v.values().data(), 1, bytes, 0, to);
        })));
      });
  FACET_RETURN_IF_ERROR(status);
  if (!tied.empty()) {
    const int64_t first =
        (static_cast<const uint8_t*>(weights->head.data) -
         static_cast<const uint8_t*>(tied.data)) /
        (tied.stride * static_cast<int64_t>(SizeOf(tied.dtype)));
    weights->head = weights->embedding.Rows(first, weights->head.rows);
  }
  weights->checkpoint.reset();
  weights->widened.clear();
  weights->ranges.clear();
  return absl::OkStatus();
}

}  // namespace facet
