#include "rpc/convert/text_convert.h"

#include <utility>

namespace facet {
namespace {

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    default:
      return v1::FINISH_REASON_NONE;
  }
}

FinishReason FromProto(v1::FinishReason reason) {
  switch (reason) {
    case v1::FINISH_REASON_STOP:
      return FinishReason::kStop;
    case v1::FINISH_REASON_LENGTH:
      return FinishReason::kLength;
    default:
      return FinishReason::kNone;
  }
}

void ToProto(const OutputFormat& from, v1::OutputFormat* to) {
  switch (from.kind) {
    case OutputKind::kFree:
      break;
    case OutputKind::kJsonObject:
      to->set_json_object(true);
      break;
    case OutputKind::kJsonSchema:
      to->set_json_schema(from.text);
      break;
    case OutputKind::kRegex:
      to->set_regex(from.text);
      break;
    case OutputKind::kGrammar:
      to->set_grammar(from.text);
      break;
    case OutputKind::kChoice:
      for (const std::string& choice : from.choices) {
        to->mutable_choices()->add_choice(choice);
      }
      break;
    case OutputKind::kToolCalls:  // has no place in the protocol
      break;
  }
}

OutputFormat FromProto(const v1::OutputFormat& from) {
  switch (from.kind_case()) {
    case v1::OutputFormat::kJsonObject:
      if (!from.json_object()) return {};
      return {OutputKind::kJsonObject, "", {}, {}, {}};
    case v1::OutputFormat::kJsonSchema:
      return {OutputKind::kJsonSchema, from.json_schema(), {}, {}, {}};
    case v1::OutputFormat::kRegex:
      return {OutputKind::kRegex, from.regex(), {}, {}, {}};
    case v1::OutputFormat::kGrammar:
      return {OutputKind::kGrammar, from.grammar(), {}, {}, {}};
    case v1::OutputFormat::kChoices:
      return {OutputKind::kChoice,
              "",
              {from.choices().choice().begin(), from.choices().choice().end()},
              {},
              {}};
    case v1::OutputFormat::KIND_NOT_SET:
      break;
  }
  return {};
}

void AddToken(int32_t id, float logprob, bool with_logprob,
              const std::vector<TokenLogprob>& top, v1::Token* token) {
  token->set_id(id);
  if (with_logprob) token->set_logprob(logprob);
  for (const TokenLogprob& one : top) {
    v1::TokenLogprob* to = token->add_top();
    to->set_id(one.token);
    to->set_logprob(one.logprob);
  }
}

std::vector<TokenLogprob> Top(const v1::Token& token) {
  std::vector<TokenLogprob> top;
  for (const v1::TokenLogprob& one : token.top()) {
    top.push_back({one.id(), one.logprob()});
  }
  return top;
}

}  // namespace

v1::GenerateRequest ToProto(const TextRequest& request) {
  v1::GenerateRequest proto;
  switch (request.kind) {
    case PromptKind::kText:
      proto.set_text(request.text);
      break;
    case PromptKind::kTokens:
      proto.mutable_token_ids()->mutable_ids()->Add(request.tokens.begin(),
                                                    request.tokens.end());
      break;
    case PromptKind::kConversation:
      proto.set_conversation_json(request.text);
      break;
    case PromptKind::kNone:
      break;
  }
  const SamplingOptions& from = request.sampling;
  v1::SamplingOptions* sampling = proto.mutable_sampling();
  if (from.temperature) sampling->set_temperature(*from.temperature);
  if (from.top_k) sampling->set_top_k(*from.top_k);
  if (from.top_p) sampling->set_top_p(*from.top_p);
  if (from.min_p) sampling->set_min_p(*from.min_p);
  if (from.seed) sampling->set_seed(*from.seed);
  sampling->set_logprobs(from.logprobs);
  sampling->set_top_logprobs(from.top_logprobs);
  sampling->set_repetition_penalty(from.repetition_penalty);
  sampling->set_presence_penalty(from.presence_penalty);
  sampling->set_frequency_penalty(from.frequency_penalty);
  for (const TokenBias& one : from.logit_bias) {
    v1::TokenBias* bias = sampling->add_logit_bias();
    bias->set_id(one.token);
    bias->set_bias(one.bias);
  }
  if (request.max_tokens) proto.set_max_tokens(*request.max_tokens);
  for (const std::string& stop : request.stop) proto.add_stop(stop);
  proto.mutable_stop_ids()->Add(request.stop_ids.begin(),
                                request.stop_ids.end());
  proto.set_ignore_eos(request.ignore_eos);
  if (request.enable_thinking) {
    proto.set_enable_thinking(*request.enable_thinking);
  }
  if (request.max_thought_tokens >= 0) {
    proto.set_max_thought_tokens(request.max_thought_tokens);
  }
  proto.set_n(request.n);
  if (request.best_of > 0) proto.set_best_of(request.best_of);
  proto.set_min_tokens(request.min_tokens);
  if (request.prompt_logprobs >= 0) {
    proto.set_prompt_logprobs(request.prompt_logprobs);
  }
  if (request.format.kind != OutputKind::kFree) {
    ToProto(request.format, proto.mutable_format());
  }
  proto.set_priority(request.priority);
  if (request.timeout_s) proto.set_timeout_seconds(*request.timeout_s);
  if (!request.cache_salt.empty()) proto.set_cache_salt(request.cache_salt);
  if (!request.request_key.empty()) proto.set_request_key(request.request_key);
  return proto;
}

TextRequest FromProto(const v1::GenerateRequest& request) {
  TextRequest result;
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kText:
      result.kind = PromptKind::kText;
      result.text = request.text();
      break;
    case v1::GenerateRequest::kTokenIds:
      result.kind = PromptKind::kTokens;
      result.tokens.assign(request.token_ids().ids().begin(),
                           request.token_ids().ids().end());
      break;
    case v1::GenerateRequest::kConversationJson:
      result.kind = PromptKind::kConversation;
      result.text = request.conversation_json();
      break;
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  const v1::SamplingOptions& from = request.sampling();
  SamplingOptions& sampling = result.sampling;
  if (from.has_temperature()) sampling.temperature = from.temperature();
  if (from.has_top_k()) sampling.top_k = from.top_k();
  if (from.has_top_p()) sampling.top_p = from.top_p();
  if (from.has_min_p()) sampling.min_p = from.min_p();
  if (from.has_seed()) sampling.seed = from.seed();
  sampling.logprobs = from.logprobs();
  sampling.top_logprobs = from.top_logprobs();
  if (from.has_repetition_penalty()) {
    sampling.repetition_penalty = from.repetition_penalty();
  }
  sampling.presence_penalty = from.presence_penalty();
  sampling.frequency_penalty = from.frequency_penalty();
  for (const v1::TokenBias& one : from.logit_bias()) {
    sampling.logit_bias.push_back({one.id(), one.bias()});
  }
  if (request.has_max_tokens()) result.max_tokens = request.max_tokens();
  result.stop.assign(request.stop().begin(), request.stop().end());
  result.stop_ids.assign(request.stop_ids().begin(), request.stop_ids().end());
  result.ignore_eos = request.ignore_eos();
  if (request.has_enable_thinking()) {
    result.enable_thinking = request.enable_thinking();
  }
  if (request.has_max_thought_tokens()) {
    result.max_thought_tokens = request.max_thought_tokens();
  }
  if (request.has_n()) result.n = request.n();
  if (request.has_best_of()) result.best_of = request.best_of();
  result.min_tokens = request.min_tokens();
  if (request.has_prompt_logprobs()) {
    result.prompt_logprobs = request.prompt_logprobs();
  }
  result.format = FromProto(request.format());
  result.priority = request.priority();
  if (request.has_timeout_seconds()) {
    result.timeout_s = request.timeout_seconds();
  }
  result.cache_salt = request.cache_salt();
  result.request_key = request.request_key();
  return result;
}

void AppendToProto(const TextEvent& event, bool logprobs,
                   v1::GenerateResponse* response) {
  if (!event.text.empty()) response->mutable_text()->append(event.text);
  for (const AnswerPart& from : event.parts) {
    const int last = response->parts_size() - 1;
    const auto kind = static_cast<v1::PartKind>(from.kind);
    if (!from.begins && !from.marker && last >= 0 &&
        response->parts(last).kind() == kind &&
        !response->parts(last).marker()) {
      response->mutable_parts(last)->mutable_text()->append(from.text);
      continue;
    }
    v1::AnswerPart* part = response->add_parts();
    part->set_kind(kind);
    part->set_text(from.text);
    if (from.begins) part->set_begins(true);
    if (from.marker) part->set_marker(true);
  }
  for (const SampledToken& from : event.tokens) {
    AddToken(from.token, from.logprob, logprobs, from.top,
             response->add_tokens());
  }
  for (const PromptLogprob& from : event.prompt_logprobs) {
    AddToken(from.token, from.logprob, true, from.top,
             response->add_prompt_tokens());
  }
  response->set_index(event.index);
  if (event.finish == FinishReason::kNone) return;
  response->set_finish_reason(ToProto(event.finish));
  v1::Usage* usage = response->mutable_usage();
  usage->set_prompt_tokens(event.usage.prompt_tokens);
  usage->set_cached_tokens(event.usage.cached_tokens);
  usage->set_completion_tokens(event.usage.completion_tokens);
  usage->set_queue_seconds(event.usage.queue_s);
  usage->set_first_token_seconds(event.usage.first_token_s);
  usage->set_tokens_per_second(event.usage.tokens_per_s);
}

TextEvent FromProto(const v1::GenerateResponse& response) {
  TextEvent event;
  event.text = response.text();
  for (const v1::AnswerPart& from : response.parts()) {
    event.parts.push_back({static_cast<PartKind>(from.kind()), from.text(),
                           from.begins(), from.marker()});
  }
  for (const v1::Token& from : response.tokens()) {
    SampledToken token;
    token.token = from.id();
    token.logprob = from.logprob();
    token.top = Top(from);
    event.tokens.push_back(std::move(token));
  }
  for (const v1::Token& from : response.prompt_tokens()) {
    PromptLogprob token;
    token.token = from.id();
    token.logprob = from.logprob();
    token.top = Top(from);
    event.prompt_logprobs.push_back(std::move(token));
  }
  event.index = response.index();
  event.finish = FromProto(response.finish_reason());
  event.usage.prompt_tokens = response.usage().prompt_tokens();
  event.usage.cached_tokens = response.usage().cached_tokens();
  event.usage.completion_tokens = response.usage().completion_tokens();
  event.usage.queue_s = response.usage().queue_seconds();
  event.usage.first_token_s = response.usage().first_token_seconds();
  event.usage.tokens_per_s = response.usage().tokens_per_second();
  return event;
}

v1::ModelInfoResponse ToProto(const ModelInfo& info) {
  v1::ModelInfoResponse proto;
  proto.set_name(info.name);
  proto.set_vocab_size(info.vocab_size);
  proto.set_context_tokens(info.context_tokens);
  proto.set_layers(info.layers);
  proto.set_chat_format(info.chat_format);
  return proto;
}

ModelInfo FromProto(const v1::ModelInfoResponse& info) {
  return {info.name(), info.vocab_size(), info.context_tokens(), info.layers(),
          info.chat_format()};
}

}  // namespace facet
