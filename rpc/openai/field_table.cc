#include "rpc/openai/field_table.h"

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace facet {
namespace {

constexpr FieldUse H = FieldUse::kHonoured;
constexpr FieldUse N = FieldUse::kNoEffect;
constexpr FieldUse R = FieldUse::kRefused;

using Fields = std::vector<ApiField>;

Fields Join(std::vector<Fields> groups) {
  Fields all;
  for (const Fields& group : groups) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

// Of every endpoint that answers with generated text.
Fields Sampling() {
  return {
      {"model", H, "", "a served name, see /v1/models; absent: the only one"},
      {"temperature", H, "", "0 is greedy; absent: the model's own default"},
      {"top_p", H, "", "above 0, up to 1; absent: the model's own default"},
      {"top_k", H, "",
       "0 and -1: every token; absent: the model's own default"},
      {"min_p", H, "", "0 up to below 1"},
      {"seed", H, "", "the same seed and prompt give the same answer"},
      {"presence_penalty", H, "", "-2 to 2"},
      {"frequency_penalty", H, "", "-2 to 2"},
      {"repetition_penalty", H, "", "above 0, up to 2"},
      {"logit_bias", H, "", "token id to -100 to 100, at most 1024"},
      {"stop", H, "", "a string, or up to 16; the answer ends before it"},
      {"stop_token_ids", H, "", "end the answer besides the model's own"},
      {"ignore_eos", H, "", "goes on past the model's own end"},
      {"min_tokens", H, "", "no end before so many"},
      {"truncate_prompt_tokens", H, "",
       "keeps so many tokens of the prompt; -1: what the context holds"},
      {"truncation_side", H, "",
       "`left` (absent: this) drops the beginning, `right` the end"},
      {"priority", H, "", "-100 to 100, lower is more urgent"},
      {"cache_salt", H, "",
       "requests share cached prompts only under equal salts"},
      {"timeout_seconds", H, "", "Facet's own: 504 after so long"},
      {"stream", H, "", "server-sent events"},
      {"structured_outputs", H, "",
       "one of `json`, `regex`, `choice`, `grammar`, `json_object`"},
      {"request_id", H, "", "becomes a part of the answer's id"},
      {"user", N, "*", "nothing is kept by user"},
      {"metadata", N, "*", "nothing is stored"},
      {"session_id", N, "*", "the prefix cache finds shared prompts itself"},
      {"service_tier", N, "\"auto\" \"default\"", "there is one tier"},
      {"safety_identifier", N, "*", "nothing is kept by user"},
      {"prompt_cache_key", N, "*",
       "the prefix cache finds shared prompts itself"},
      {"prompt_cache_options", N, "*",
       "the prefix cache finds shared prompts itself"},
      {"prompt_cache_retention", N, "*",
       "the prefix cache keeps what is used most recently"},
      {"store", R, "false", "nothing is stored"},
      {"moderation", R, "", "nothing is moderated"},
      {"use_beam_search", R, "false", "there is no beam search"},
      {"length_penalty", R, "1 1.0", "there is no beam search"},
      {"watermarking", R, "false", "there are no watermarks"},
      {"include_stop_str_in_output", R, "false",
       "stop strings are never part of an answer"},
      {"skip_special_tokens", R, "true",
       "special tokens are never part of an answer"},
      {"spaces_between_special_tokens", R, "true",
       "special tokens are never part of an answer"},
      {"allowed_token_ids", R, "[]", "use structured_outputs"},
      {"bad_words", R, "[]", "use logit_bias"},
      {"logits_processors", R, "[]", "requests bring no code"},
      {"logprob_token_ids", R, "", "use top_logprobs"},
      {"repetition_detection", R, "", "use repetition_penalty"},
      {"stream_interval", R, "1", "every token is sent when it comes"},
      {"return_token_offsets", R, "false", "only for rendering elsewhere"},
      {"return_mm_kwargs", R, "true", "only for rendering elsewhere"},
      {"routed_experts_prompt_start", R, "0", "routing is not reported"},
      {"kv_transfer_params", R, "{}", "keys and values are not transferred"},
      {"ec_transfer_params", R, "{}", "encodings are not transferred"},
      {"vllm_xargs", R, "{}", "there are no extensions to pass these to"},
      {"mm_processor_kwargs", R, "{}", "only text is supported"},
      {"media_io_kwargs", R, "{}", "only text is supported"},
  };
}

// Of chat and plain completions, beside those of all.
Fields Completions() {
  return {
      {"n", H, "", "1 to 64 answers"},
      {"best_of", H, "", "draws so many, shows the n likeliest"},
      {"max_tokens", H, "", "cut to what context and memory leave"},
      {"stream_options", H, "",
       "`include_usage`, `continuous_usage_stats`; `include_obfuscation` may "
       "be false"},
      {"prompt_logprobs", H, "", "0 to 64 alternatives per prompt token"},
      {"return_token_ids", H, "", "`prompt_token_ids` and `token_ids`"},
      {"return_timings", H, "",
       "Facet's own: `timings` with `queue_ms`, `first_token_ms`, "
       "`tokens_per_second`, `total_ms`; in a stream beside the last usage"},
      {"return_tokens_as_token_ids", H, "",
       "log-probabilities name tokens as `token_id:ID`"},
      {"response_format", H, "", "`text`, `json_object` or `json_schema`"},
      {"guided_json", H, "", "as structured_outputs.json"},
      {"guided_regex", H, "", "as structured_outputs.regex"},
      {"guided_choice", H, "", "as structured_outputs.choice"},
      {"guided_grammar", H, "", "as structured_outputs.grammar"},
      {"guided_decoding_backend", R, "\"auto\"", "there is one"},
      {"guided_whitespace_pattern", R, "",
       "white space in JSON is bounded by itself"},
  };
}

Fields Thinking() {
  return {
      {"reasoning_effort", H, "",
       "`none` turns thinking off; `minimal`, `low`, `medium`, `high`, `xhigh` "
       "and `max` turn it on, alike"},
      {"enable_thinking", H, "", "the same as a boolean"},
      {"include_reasoning", H, "", "false leaves thoughts out of the answer"},
      {"thinking_token_budget", H, "",
       "thoughts end after so many tokens; -1: whenever they do"},
  };
}

Fields ChatTemplate() {
  return {
      {"chat_template_kwargs", H, "",
       "`enable_thinking` and `add_generation_prompt`"},
      {"add_generation_prompt", H, "", "false: no model turn is opened"},
      {"chat_template", R, "", "the model's own is compiled in"},
      {"continue_final_message", R, "false", "an answer is a turn of its own"},
      {"add_special_tokens", R, "false", "the chat format has them"},
  };
}

Fields ChatCompletions() {
  return {
      {"messages", H, "",
       "roles system, developer, user, assistant, tool; text only"},
      {"max_completion_tokens", H, "", "the same as max_tokens"},
      {"logprobs", H, "", "of the tokens of `content`"},
      {"top_logprobs", H, "", "0 to 64; needs logprobs"},
      {"tools", H, "",
       "functions; with `strict`, arguments always satisfy their schema"},
      {"tool_choice", H, "", "`auto`, `none`, `required` or one function"},
      {"parallel_tool_calls", H, "", "false ends the answer after one call"},
      {"modalities", R, "[\"text\"]", "answers are text"},
      {"verbosity", R, "\"medium\"", "say it in the prompt"},
      {"audio", R, "", "answers are text"},
      {"prediction", R, "", "predicted text is not used"},
      {"web_search_options", R, "", "there is no search"},
      {"functions", R, "[]", "use tools"},
      {"function_call", R, "\"none\"", "use tool_choice"},
      {"echo", R, "false", "the prompt is not repeated"},
      {"documents", R, "[]", "the chat format has no place for them"},
      {"return_prompt_text", R, "false", "see return_token_ids"},
  };
}

Fields TextCompletions() {
  return {
      {"prompt", H, "", "a text, token ids, or a list of either"},
      {"echo", H, "", "the prompt comes first in the answer"},
      {"logprobs", H, "", "0 to 64 alternatives per token"},
      {"add_special_tokens", H, "", "false: no <bos> in front"},
      {"suffix", R, "\"\"", "nothing is inserted before a suffix"},
      {"prompt_embeds", R, "", "prompts are text or token ids"},
  };
}

Fields Responses() {
  return {
      {"input", H, "",
       "a text, or items: messages, function calls and their outputs, "
       "reasoning"},
      {"instructions", H, "", "a system message in front"},
      {"max_output_tokens", H, "", "cut to what context and memory leave"},
      {"reasoning", H, "", "`effort`; `summary` may be `auto`"},
      {"text", H, "",
       "`format`: text, json_object or json_schema; `verbosity` may be "
       "medium"},
      {"tools", H, "",
       "functions; with `strict`, arguments always satisfy their schema"},
      {"tool_choice", H, "", "`auto`, `none`, `required` or one function"},
      {"parallel_tool_calls", H, "", "false ends the answer after one call"},
      {"top_logprobs", H, "",
       "0 to 64; needs `message.output_text.logprobs` in include"},
      {"include", H, "",
       "`message.output_text.logprobs`; `reasoning.encrypted_content` has no "
       "effect, reasoning is told in the open"},
      {"stream_options", H, "", "`include_obfuscation` may be false"},
      {"max_tool_calls", N, "*", "no tools run in the server"},
      {"truncation", R, "\"disabled\"", "use truncate_prompt_tokens"},
      {"background", R, "false", "nothing is stored"},
      {"background_options", R, "", "nothing is stored"},
      {"previous_response_id", R, "",
       "nothing is stored; send the items of earlier turns as input"},
      {"previous_response", R, "", "send the items of earlier turns as input"},
      {"previous_input_messages", R, "",
       "send the items of earlier turns as input"},
      {"conversation", R, "",
       "nothing is stored; send the items of earlier turns as input"},
      {"context_management", R, "[]", "prompts are used as they are"},
      {"prompt", R, "", "there are no prompt templates"},
      {"image", R, "", "only text is supported"},
      {"access_programs", R, "", "there are none"},
      {"enable_response_messages", R, "false", "see /tokenize"},
  };
}

Fields Tokenize() {
  return {
      {"model", H, "", "a served name; absent: the only one"},
      {"prompt", H, "", "a text; this or messages"},
      {"messages", H, "", "a conversation; this or prompt"},
      {"tools", H, "", "of the conversation"},
      {"enable_thinking", H, "", "of the conversation"},
      {"return_token_strs", H, "", "the text of each token too"},
  };
}

const Fields& Table(Endpoint endpoint) {
  static const Fields kChat = Join({ChatCompletions(), Thinking(),
                                    ChatTemplate(), Completions(), Sampling()});
  static const Fields kText =
      Join({TextCompletions(), Completions(), Sampling()});
  static const Fields kResponses = Join({Responses(), Thinking(), Sampling()});
  static const Fields kTokenizeFields =
      Join({Tokenize(),
            {{"add_special_tokens", H, "",
              "of prompt: <bos> in front (absent: true)"},
             {"chat_template_kwargs", H, "",
              "`enable_thinking` and `add_generation_prompt`"},
             {"add_generation_prompt", H, "", "false: no model turn is opened"},
             {"chat_template", R, "", "the model's own is compiled in"},
             {"continue_final_message", R, "false",
              "an answer is a turn of its own"},
             {"mm_processor_kwargs", R, "{}", "only text is supported"},
             {"media_io_kwargs", R, "{}", "only text is supported"}}});
  static const Fields kDetokenizeFields = {
      {"model", H, "", "a served name; absent: the only one"},
      {"tokens", H, "", "token ids"},
      {"skip_special_tokens", H, "", "true leaves special tokens out"},
  };
  switch (endpoint) {
    case Endpoint::kChatCompletions:
      return kChat;
    case Endpoint::kCompletions:
      return kText;
    case Endpoint::kResponses:
      return kResponses;
    case Endpoint::kTokenize:
      return kTokenizeFields;
    case Endpoint::kDetokenize:
      break;
  }
  return kDetokenizeFields;
}

using FieldsByName = absl::flat_hash_map<std::string, const ApiField*>;

FieldsByName Index(Endpoint endpoint) {
  FieldsByName index;
  for (const ApiField& field : Table(endpoint)) index[field.name] = &field;
  return index;
}

const FieldsByName& ByName(Endpoint endpoint) {
  static const std::vector<FieldsByName>& indices = *[] {
    auto* all = new std::vector<FieldsByName>();
    for (const Endpoint one : kEndpoints) all->push_back(Index(one));
    return all;
  }();
  return indices[static_cast<size_t>(endpoint)];
}

}  // namespace

const char* PathOf(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kChatCompletions:
      return "/v1/chat/completions";
    case Endpoint::kCompletions:
      return "/v1/completions";
    case Endpoint::kResponses:
      return "/v1/responses";
    case Endpoint::kTokenize:
      return "/tokenize";
    case Endpoint::kDetokenize:
      break;
  }
  return "/detokenize";
}

absl::Span<const ApiField> FieldsOf(Endpoint endpoint) {
  return Table(endpoint);
}

absl::Status CheckFields(Endpoint endpoint, const ApiJson& body) {
  const FieldsByName& fields = ByName(endpoint);
  for (const auto& [name, value] : body.items()) {
    const auto found = fields.find(name);
    if (found == fields.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": unknown field of ", PathOf(endpoint)));
    }
    const ApiField& field = *found->second;
    if (field.use == FieldUse::kHonoured || value.is_null()) continue;
    if (absl::string_view(field.accepted) == "*") continue;
    const std::vector<std::string> accepted =
        absl::StrSplit(field.accepted, ' ', absl::SkipEmpty());
    const std::string given = PrintApiJson(value);
    bool asks_for_nothing = false;
    for (const std::string& one : accepted) asks_for_nothing |= given == one;
    if (asks_for_nothing) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": not supported: ", field.note,
        accepted.empty() ? ""
                         : absl::StrCat("; leave it out, or give ",
                                        absl::StrJoin(accepted, " or "))));
  }
  return absl::OkStatus();
}

}  // namespace facet
