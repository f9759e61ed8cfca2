// The kernels of a step in the order they are asked for. They are gathered in
// segments; a segment that comes back in later steps becomes a graph, which the
// host starts in one call instead of one a kernel. Nothing has to declare what
// may change between steps: a graph is compared with what is asked for, byte by
// byte, and the calls that differ (of other sizes, with other arguments) are
// put into it before it runs.
#ifndef FACET_KERNELS_CUDA_LAUNCH_LINE_H_
#define FACET_KERNELS_CUDA_LAUNCH_LINE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cuda/kernel_calls.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

struct LaunchCounts {
  int64_t kernels = 0;  // run, one way or the other
  int64_t alone = 0;    // of these, each by a call of its own
  int64_t graphs_made = 0;
  int64_t graphs_run = 0;
  int64_t calls_changed = 0;  // inside graphs, before they ran
  // Of the kernels, those that are a library's messages; and of the messages,
  // those that each took a call of its own.
  int64_t messages = 0;
  int64_t messages_alone = 0;
  // Graphs that the device's runtime would not make or change; from the first
  // one on every kernel runs by itself.
  int64_t refused = 0;
};

// One thread calls.
class LaunchLine : public KernelLine {
 public:
  // `before` runs before kernels of a segment do: it brings what they read.
  // Without `graphs` every kernel runs by a call of its own.
  LaunchLine(Stream stream, bool graphs, std::function<absl::Status()> before)
      : stream_(stream), graphs_(graphs), before_(std::move(before)) {}
  ~LaunchLine() override;
  LaunchLine(const LaunchLine&) = delete;
  LaunchLine& operator=(const LaunchLine&) = delete;

  // The segments that follow are compared with those of earlier steps.
  void BeginStep();

  // A message of the library that is part of this line's graphs from then on.
  void Add(Message message);
  // `listener` is called once a segment with messages is handed over.
  void OnMessages(std::function<void()> listener) {
    on_messages_ = std::move(listener);
  }
  // Lets go of graphs that have messages, and of the segment at hand if it has;
  // that is an error of the line, then.
  void DropMessages();
  // Whether graphs may have messages.
  bool takes_messages() const { return graphs_ && messages_in_graphs_; }

  // Hands over what is gathered. An error stays.
  const absl::Status& Run();
  const absl::Status& status() const { return status_; }
  const LaunchCounts& counts() const { return counts_; }

 protected:
  void Full() override { Run(); }

 private:
  // Below this a graph saves nothing.
  static constexpr size_t kFewestCalls = 8;
  static constexpr size_t kMostGraphs = 8;  // of one segment

  struct Kept {
    KernelCalls calls;
    Graph graph = nullptr;
    uint64_t last_used = 0;
  };
  struct Segment {
    std::vector<Kept> graphs;
    // What ran by itself before: a graph is worth it the second time.
    std::vector<const void*> seen;
  };

  absl::Status RunCalls();
  absl::Status RunAlone();
  // The graph closest to calls_, and which of its calls differ.
  Kept* Closest(Segment& segment, std::vector<size_t>* differing) const;
  absl::Status RunGraph(Kept& kept, const std::vector<size_t>& differing);
  absl::Status MakeAndRun(Segment& segment);
  absl::Status DoWithoutGraphs();
  bool IsNew(Segment& segment) const;

  const Stream stream_;
  bool graphs_;
  bool messages_in_graphs_ = true;
  std::function<void()> on_messages_;
  const std::function<absl::Status()> before_;
  std::map<int, Segment> segments_;  // by their place in a step
  int segment_ = 0;
  uint64_t clock_ = 0;
  absl::Status status_;
  LaunchCounts counts_;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_LAUNCH_LINE_H_
