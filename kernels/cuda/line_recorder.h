// Messages of a launch line.
#ifndef FACET_KERNELS_CUDA_LINE_RECORDER_H_
#define FACET_KERNELS_CUDA_LINE_RECORDER_H_

#include <functional>
#include <utility>
#include <vector>

#include "kernels/backend/message_recorder.h"
#include "kernels/cuda/launch_line.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

class LineRecorder : public MessageRecorder {
 public:
  // `before`: puts into the line what was asked for and is not yet in it. The
  // line outlives it.
  LineRecorder(LaunchLine* line, std::function<void()> before)
      : line_(*line), before_(std::move(before)) {}
  ~LineRecorder() override;

  bool ready() const override { return line_.takes_messages(); }
  absl::StatusOr<int> Record(
      const std::function<absl::Status(void* stream)>& ask) override;
  void Run(int message) override;
  void OnHandedOver(std::function<void()> listener) override;
  void Forget() override;

 private:
  LaunchLine& line_;
  const std::function<void()> before_;
  Stream stream_ = nullptr;  // made for the first recording
  std::vector<Message> messages_;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_LINE_RECORDER_H_
