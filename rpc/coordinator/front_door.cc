#include "rpc/coordinator/front_door.h"

#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

SamplingParams ResolveSampling(const SamplingOptions& options,
                               const GenerationDefaults& defaults) {
  SamplingParams params;
  params.temperature = options.temperature.value_or(
      defaults.do_sample ? defaults.temperature : 0.0f);
  params.top_k = options.top_k.value_or(defaults.top_k);
  params.top_p = options.top_p.value_or(defaults.top_p);
  params.min_p = options.min_p.value_or(0.0f);
  params.seed = options.seed.has_value() ? *options.seed : RandomSeed();
  params.logprob = options.logprobs || options.top_logprobs > 0;
  params.top_logprobs = options.top_logprobs;
  return params;
}

// The clock of one request.
struct Stopwatch {
  absl::Time submitted;
  absl::Time first_token;
  Usage usage;

  void Count(int64_t tokens) {
    if (tokens == 0) return;
    if (usage.completion_tokens == 0) first_token = absl::Now();
    usage.completion_tokens += tokens;
  }
  Usage AtEnd() const {
    Usage result = usage;
    if (usage.completion_tokens == 0) return result;
    result.first_token_s = absl::ToDoubleSeconds(first_token - submitted);
    const double after = absl::ToDoubleSeconds(absl::Now() - first_token);
    if (usage.completion_tokens > 1 && after > 0) {
      result.tokens_per_s =
          static_cast<double>(usage.completion_tokens - 1) / after;
    }
    return result;
  }
};

}  // namespace

absl::StatusOr<GenerateRequest> FrontDoor::Prepare(
    const TextRequest& request) const {
  GenerateRequest result;
  switch (request.kind) {
    case PromptKind::kNone:
      return absl::InvalidArgumentError(
          "prompt: missing, give text, token ids or a conversation");
    case PromptKind::kText: {
      FACET_ASSIGN_OR_RETURN(result.prompt,
                             CompletionTokens(*model_, request.text));
      break;
    }
    case PromptKind::kTokens:
      result.prompt = request.tokens;
      break;
    case PromptKind::kConversation: {
      const bool* thinking = request.enable_thinking.has_value()
                                 ? &*request.enable_thinking
                                 : nullptr;
      FACET_ASSIGN_OR_RETURN(
          result.prompt, ConversationTokens(*model_, request.text, thinking));
      break;
    }
  }
  result.sampling = ResolveSampling(request.sampling, model_->defaults);
  result.max_tokens = request.max_tokens.value_or(kDefaultMaxTokens);
  result.stop_strings = request.stop;
  result.stop_ids = request.stop_ids;
  if (!request.ignore_eos) {
    result.stop_ids.insert(result.stop_ids.end(), model_->eos_ids.begin(),
                           model_->eos_ids.end());
  }
  return result;
}

absl::StatusOr<uint64_t> FrontDoor::Generate(
    const TextRequest& request,
    std::function<void(TextEvent event)> on_event) const {
  Stopwatch watch;
  watch.submitted = absl::Now();
  FACET_ASSIGN_OR_RETURN(GenerateRequest prepared, Prepare(request));
  watch.usage.prompt_tokens = static_cast<int64_t>(prepared.prompt.size());
  return engine_->Submit(
      std::move(prepared),
      [watch, on_event = std::move(on_event)](GenerateEvent from) mutable {
        watch.Count(static_cast<int64_t>(from.tokens.size()));
        TextEvent event;
        event.tokens = std::move(from.tokens);
        event.text = std::move(from.text);
        event.parts = std::move(from.parts);
        event.finish = from.finish;
        event.status = std::move(from.status);
        if (event.finish != FinishReason::kNone) event.usage = watch.AtEnd();
        on_event(std::move(event));
      });
}

ModelInfo FrontDoor::Info() const {
  ModelInfo info;
  info.name = model_->name;
  info.vocab_size = model_->config.vocab_size;
  info.context_tokens = model_->config.max_position_embeddings;
  info.layers = model_->config.num_layers();
  if (model_->chat_format.ok()) info.chat_format = Name(*model_->chat_format);
  return info;
}

}  // namespace facet
