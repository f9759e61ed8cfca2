#include "kernels/cuda/launch_line.h"

#include <algorithm>

#include "kernels/base/status_macros.h"

namespace facet {
namespace FACET_CUDA {

bool KernelCalls::SameKernels(const KernelCalls& other) const {
  return std::equal(calls_.begin(), calls_.end(), other.calls_.begin(),
                    other.calls_.end(),
                    [](const KernelCall& a, const KernelCall& b) {
                      return a.kernel == b.kernel;
                    });
}

bool KernelCalls::SameCall(size_t i, const KernelCalls& other) const {
  const KernelCall& a = calls_[i];
  const KernelCall& b = other.calls_[i];
  const auto same = [](const Extent& x, const Extent& y) {
    return x.x == y.x && x.y == y.y && x.z == y.z;
  };
  return same(a.grid, b.grid) && same(a.block, b.block) &&
         a.shared_bytes == b.shared_bytes &&
         a.end - a.begin == b.end - b.begin &&
         std::memcmp(bytes_.data() + a.begin, other.bytes_.data() + b.begin,
                     a.end - a.begin) == 0;
}

KernelCalls KernelCalls::Only(size_t i) const {
  KernelCalls only;
  KernelCall call = calls_[i];
  const auto offset =
      offsets_.begin() + static_cast<int64_t>(call.first_offset);
  // The first argument lies behind padding; its new place is as aligned.
  const size_t base = call.begin / kAlignment * kAlignment;
  for (size_t a = 0; a < call.num_arguments; ++a) {
    only.offsets_.push_back(offset[static_cast<int64_t>(a)] - base);
  }
  only.bytes_.assign(bytes_.begin() + static_cast<int64_t>(base),
                     bytes_.begin() + static_cast<int64_t>(call.end));
  call.first_offset = 0;
  call.begin -= base;
  call.end -= base;
  only.calls_.push_back(call);
  return only;
}

LaunchLine::~LaunchLine() {
  for (auto& [place, segment] : segments_) {
    for (Kept& kept : segment.graphs) DestroyGraph(kept.graph);
  }
}

void LaunchLine::BeginStep() {
  Run();
  segment_ = 0;
}

const absl::Status& LaunchLine::Run() {
  if (calls_.size() == 0) return status_;
  if (status_.ok()) status_ = RunCalls();
  const bool messages = status_.ok() && calls_.messages() > 0;
  calls_.Clear();
  ++segment_;
  if (messages && on_messages_ != nullptr) on_messages_();
  return status_;
}

void LaunchLine::Add(Message message) {
  KernelCall call;
  call.kernel = message;
  call.message = message;
  KernelLine::Add(call);
}

void LaunchLine::DropMessages() {
  for (auto& [place, segment] : segments_) {
    const auto has_none = [](const Kept& kept) {
      return kept.calls.messages() == 0;
    };
    const auto first = std::stable_partition(segment.graphs.begin(),
                                             segment.graphs.end(), has_none);
    for (auto kept = first; kept != segment.graphs.end(); ++kept) {
      DestroyGraph(kept->graph);
    }
    segment.graphs.erase(first, segment.graphs.end());
    segment.seen.clear();  // a message to come may lie where one did
  }
  if (calls_.messages() == 0) return;
  calls_.Clear();
  if (!status_.ok()) return;
  status_ = absl::CancelledError("messages were let go of before they ran");
}

absl::Status LaunchLine::RunCalls() {
  FACET_RETURN_IF_ERROR(before_());
  counts_.kernels += static_cast<int64_t>(calls_.size());
  const size_t messages = calls_.messages();
  counts_.messages += static_cast<int64_t>(messages);
  if (!graphs_ || calls_.size() < kFewestCalls ||
      (messages > 0 && !messages_in_graphs_)) {
    return RunAlone();
  }
  Segment& segment = segments_[segment_];
  std::vector<size_t> differing;
  Kept* closest = Closest(segment, &differing);
  const bool full = segment.graphs.size() >= kMostGraphs;
  // A step of another size changes nearly every call; it comes back, so it is
  // worth a graph of its own.
  if (closest != nullptr && (full || differing.size() <= calls_.size() / 4)) {
    return RunGraph(*closest, differing);
  }
  if (closest == nullptr && IsNew(segment)) return RunAlone();
  return MakeAndRun(segment);
}

absl::Status LaunchLine::RunAlone() {
  counts_.alone += static_cast<int64_t>(calls_.size());
  counts_.messages_alone += static_cast<int64_t>(calls_.messages());
  for (size_t i = 0; i < calls_.size(); ++i) {
    FACET_RETURN_IF_ERROR(calls_[i].message == nullptr
                              ? RunKernel(calls_, i, stream_)
                              : RunMessageOn(calls_[i].message, stream_));
  }
  return absl::OkStatus();
}

LaunchLine::Kept* LaunchLine::Closest(Segment& segment,
                                      std::vector<size_t>* differing) const {
  Kept* closest = nullptr;
  std::vector<size_t> found;
  for (Kept& kept : segment.graphs) {
    if (!kept.calls.SameKernels(calls_)) continue;
    found.clear();
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (!calls_.SameCall(i, kept.calls)) found.push_back(i);
    }
    if (closest != nullptr && found.size() >= differing->size()) continue;
    closest = &kept;
    *differing = found;
  }
  return closest;
}

bool LaunchLine::IsNew(Segment& segment) const {
  std::vector<const void*> kernels;
  for (size_t i = 0; i < calls_.size(); ++i) {
    kernels.push_back(calls_[i].kernel);
  }
  if (segment.seen == kernels) return false;
  segment.seen = std::move(kernels);
  return true;
}

absl::Status LaunchLine::RunGraph(Kept& kept,
                                  const std::vector<size_t>& differing) {
  for (const size_t i : differing) {
    if (!UpdateGraph(kept.graph, i, calls_).ok()) return DoWithoutGraphs();
  }
  counts_.calls_changed += static_cast<int64_t>(differing.size());
  ++counts_.graphs_run;
  kept.last_used = ++clock_;
  if (!differing.empty()) kept.calls = calls_;
  return RunGraphOn(kept.graph, stream_);
}

absl::Status LaunchLine::MakeAndRun(Segment& segment) {
  if (segment.graphs.size() >= kMostGraphs) {
    const auto oldest = std::min_element(
        segment.graphs.begin(), segment.graphs.end(),
        [](const Kept& a, const Kept& b) { return a.last_used < b.last_used; });
    FACET_RETURN_IF_ERROR(Wait(stream_));  // it may be running
    DestroyGraph(oldest->graph);
    segment.graphs.erase(oldest);
  }
  Kept kept;
  kept.calls = calls_;
  const absl::StatusOr<Graph> graph = MakeGraph(calls_);
  if (!graph.ok()) return DoWithoutGraphs();
  kept.graph = *graph;
  ++counts_.graphs_made;
  segment.graphs.push_back(std::move(kept));
  return RunGraph(segment.graphs.back(), {});
}

absl::Status LaunchLine::DoWithoutGraphs() {
  ++counts_.refused;
  // Perhaps it was the messages.
  (calls_.messages() > 0 ? messages_in_graphs_ : graphs_) = false;
  return RunAlone();
}

}  // namespace FACET_CUDA
}  // namespace facet
