#include "rpc/coordinator/front_door.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
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
  params.repetition_penalty = options.repetition_penalty;
  params.presence_penalty = options.presence_penalty;
  params.frequency_penalty = options.frequency_penalty;
  return params;
}

// Whether the answer to a conversation may begin with a thought.
bool Thinks(const TextRequest& request) {
  if (request.enable_thinking.has_value()) return *request.enable_thinking;
  const absl::StatusOr<ChatJson> conversation = ParseConversation(request.text);
  if (!conversation.ok() || !conversation->is_object()) return false;
  const auto flag = conversation->find("enable_thinking");
  return flag != conversation->end() && flag->is_boolean() && flag->get<bool>();
}

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
      result.may_think = Thinks(request);
      break;
    }
  }
  FACET_ASSIGN_OR_RETURN(result.grammar, grammars_.Get(request.format));
  result.format = request.format;
  result.max_thought_tokens = request.max_thought_tokens;
  result.sampling = ResolveSampling(request.sampling, model_->defaults);
  result.logit_bias = request.sampling.logit_bias;
  result.n = request.n;
  result.best_of = request.best_of;
  result.min_tokens = request.min_tokens;
  result.prompt_logprobs = request.prompt_logprobs;
  result.priority = request.priority;
  result.cache_salt = request.cache_salt;
  if (request.timeout_s.has_value()) {
    if (!(*request.timeout_s > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("timeout_seconds: ", *request.timeout_s,
                       " is out of range, legal is above 0"));
    }
    result.deadline = absl::Now() + absl::Seconds(*request.timeout_s);
  }
  result.max_tokens = request.max_tokens.value_or(kDefaultMaxTokens);
  result.stop_strings = request.stop;
  result.stop_ids = request.stop_ids;
  if (!request.ignore_eos) {
    result.stop_ids.insert(result.stop_ids.end(), model_->eos_ids.begin(),
                           model_->eos_ids.end());
  }
  return result;
}

absl::StatusOr<uint64_t> FrontDoor::Submit(
    GenerateRequest request,
    std::function<void(TextEvent event)> on_event) const {
  return engine_->Submit(
      std::move(request), [on_event = std::move(on_event)](GenerateEvent from) {
        TextEvent event;
        event.index = from.index;
        event.tokens = std::move(from.tokens);
        event.text = std::move(from.text);
        event.parts = std::move(from.parts);
        event.prompt_logprobs = std::move(from.prompt_logprobs);
        event.finish = from.finish;
        event.status = std::move(from.status);
        event.usage = from.usage;
        event.done = from.done;
        on_event(std::move(event));
      });
}

absl::StatusOr<uint64_t> FrontDoor::Generate(
    const TextRequest& request,
    std::function<void(TextEvent event)> on_event) const {
  FACET_ASSIGN_OR_RETURN(GenerateRequest prepared, Prepare(request));
  return Submit(std::move(prepared), std::move(on_event));
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
