// A model as its users see it: text in, text out. Turns requests in their terms
// into the engine's, fills in the model's defaults and measures what a request
// took. Every way in (gRPC, the command line) goes through here, so that all
// give the same answers and the same refusals.
#ifndef FACET_RPC_COORDINATOR_FRONT_DOOR_H_
#define FACET_RPC_COORDINATOR_FRONT_DOOR_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/engine.h"
#include "rpc/coordinator/grammar_cache.h"
#include "rpc/coordinator/text_model.h"

namespace facet {

// Of a request that does not say.
inline constexpr int64_t kDefaultMaxTokens = 1024;

// Safe from several threads.
class FrontDoor {
 public:
  // Both outlive the front door.
  FrontDoor(Engine* engine, const TextModel* model)
      : engine_(engine), model_(model), grammars_(kGrammarBytes) {}

  // The engine's request for `request`.
  //
  // Errors: INVALID_ARGUMENT naming the field; those of the chat format and of
  // the compilers of output formats.
  absl::StatusOr<GenerateRequest> Prepare(const TextRequest& request) const;

  // Submits what Prepare() gave; `on_event` runs on the engine's thread and
  // must not block. Errors: those of Engine::Submit().
  absl::StatusOr<uint64_t> Submit(
      GenerateRequest request,
      std::function<void(TextEvent event)> on_event) const;

  // Prepares and submits. Errors: those of both.
  absl::StatusOr<uint64_t> Generate(
      const TextRequest& request,
      std::function<void(TextEvent event)> on_event) const;

  ModelInfo Info() const;

  Engine& engine() const { return *engine_; }
  const TextModel& model() const { return *model_; }

 private:
  // Some dozens of large schemas.
  static constexpr int64_t kGrammarBytes = int64_t{64} << 20;

  Engine* const engine_;
  const TextModel* const model_;
  mutable GrammarCache grammars_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_FRONT_DOOR_H_
