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
  if (request.max_tokens) proto.set_max_tokens(*request.max_tokens);
  for (const std::string& stop : request.stop) proto.add_stop(stop);
  proto.mutable_stop_ids()->Add(request.stop_ids.begin(),
                                request.stop_ids.end());
  proto.set_ignore_eos(request.ignore_eos);
  if (request.enable_thinking) {
    proto.set_enable_thinking(*request.enable_thinking);
  }
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
  if (request.has_max_tokens()) result.max_tokens = request.max_tokens();
  result.stop.assign(request.stop().begin(), request.stop().end());
  result.stop_ids.assign(request.stop_ids().begin(), request.stop_ids().end());
  result.ignore_eos = request.ignore_eos();
  if (request.has_enable_thinking()) {
    result.enable_thinking = request.enable_thinking();
  }
  return result;
}

void AppendToProto(const TextEvent& event, bool logprobs,
                   v1::GenerateResponse* response) {
  if (!event.text.empty()) response->mutable_text()->append(event.text);
  for (const AnswerPart& from : event.parts) {
    const int last = response->parts_size() - 1;
    const auto kind = static_cast<v1::PartKind>(from.kind);
    if (!from.begins && last >= 0 && response->parts(last).kind() == kind) {
      response->mutable_parts(last)->mutable_text()->append(from.text);
      continue;
    }
    v1::AnswerPart* part = response->add_parts();
    part->set_kind(kind);
    part->set_text(from.text);
    if (from.begins) part->set_begins(true);
  }
  for (const SampledToken& from : event.tokens) {
    v1::Token* token = response->add_tokens();
    token->set_id(from.token);
    if (logprobs) token->set_logprob(from.logprob);
    for (const TokenLogprob& one : from.top) {
      v1::TokenLogprob* top = token->add_top();
      top->set_id(one.token);
      top->set_logprob(one.logprob);
    }
  }
  if (event.finish == FinishReason::kNone) return;
  response->set_finish_reason(ToProto(event.finish));
  v1::Usage* usage = response->mutable_usage();
  usage->set_prompt_tokens(event.usage.prompt_tokens);
  usage->set_completion_tokens(event.usage.completion_tokens);
  usage->set_first_token_seconds(event.usage.first_token_s);
  usage->set_tokens_per_second(event.usage.tokens_per_s);
}

TextEvent FromProto(const v1::GenerateResponse& response) {
  TextEvent event;
  event.text = response.text();
  for (const v1::AnswerPart& from : response.parts()) {
    event.parts.push_back(
        {static_cast<PartKind>(from.kind()), from.text(), from.begins()});
  }
  for (const v1::Token& from : response.tokens()) {
    SampledToken token;
    token.token = from.id();
    token.logprob = from.logprob();
    for (const v1::TokenLogprob& top : from.top()) {
      token.top.push_back({top.id(), top.logprob()});
    }
    event.tokens.push_back(std::move(token));
  }
  event.finish = FromProto(response.finish_reason());
  event.usage.prompt_tokens = response.usage().prompt_tokens();
  event.usage.completion_tokens = response.usage().completion_tokens();
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
