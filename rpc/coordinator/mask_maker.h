// Computes the masks of grammars beside the engine's thread, while steps run:
// one that takes long keeps only its own answer waiting.
#ifndef FACET_RPC_COORDINATOR_MASK_MAKER_H_
#define FACET_RPC_COORDINATOR_MASK_MAKER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Thread-safe; one thread asks and takes.
class MaskMaker {
 public:
  using Mask = absl::StatusOr<std::shared_ptr<const TokenMask>>;
  struct Made {
    uint64_t sequence = 0;
    Mask mask;
  };

  // `on_ready` runs on the maker's thread after each mask.
  explicit MaskMaker(std::function<void()> on_ready);
  // Waits for the mask in the making, drops the others.
  ~MaskMaker();

  // Has `make` called on the maker's thread, which starts with the first one.
  void Ask(uint64_t sequence, std::function<Mask()> make);

  // Masks that are ready, in the order they were asked for. Waits for all that
  // were asked for, up to `patience`.
  std::vector<Made> Take(absl::Duration patience);

 private:
  struct Wish {
    uint64_t sequence = 0;
    std::function<Mask()> make;
  };

  void Run();

  const std::function<void()> on_ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Wish> wishes_;
  int unmade_ = 0;  // the one in the making included
  std::vector<Made> made_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_MASK_MAKER_H_
