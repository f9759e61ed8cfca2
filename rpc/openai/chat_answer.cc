#include "rpc/openai/chat_answer.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rpc/openai/answer_end.h"
#include "rpc/openai/answer_json.h"
#include "rpc/openai/answer_reader.h"
#include "rpc/openai/server_events.h"

namespace facet {
namespace {

struct ToolCallSoFar {
  std::string id;
  std::string name;
  std::string arguments;
};

// One of n answers.
struct Choice {
  explicit Choice(AnswerReader from) : reader(std::move(from)) {}

  AnswerReader reader;
  std::string content;
  std::string thought;
  std::vector<ToolCallSoFar> calls;
  std::vector<SampledToken> content_tokens;  // of a whole answer
  std::vector<int32_t> ids;                  // of a whole answer, if wanted
  int64_t tokens = 0;
  FinishReason finish = FinishReason::kNone;
};

class ChatAnswer : public AnswerWriter {
 public:
  ChatAnswer(std::shared_ptr<ApiCall> call, const ChatRequest& request,
             const GenerateRequest& prepared, const std::string& model,
             const Tokenizer* tokenizer)
      : call_(std::move(call)),
        fields_(request.fields),
        show_thoughts_(request.show_thoughts),
        logprobs_(request.logprobs),
        names_(tokenizer, request.fields.tokens_as_ids),
        top_(request.fields.text.sampling.top_logprobs),
        id_(request.fields.request_id.empty()
                ? call_->NewId("chatcmpl-")
                : "chatcmpl-" + request.fields.request_id),
        model_(model),
        created_(call_->created()) {
    if (fields_.return_token_ids) prompt_ids_ = prepared.prompt;
    usage_.prompt_tokens = static_cast<int64_t>(prepared.prompt.size());
    for (int i = 0; i < prepared.n; ++i) {
      choices_.emplace_back(
          AnswerReader(tokenizer, prepared, request.tools.declared()));
    }
  }

  void Begin() override {
    if (!fields_.stream) return;
    call_->StartEvents();
    std::string events;
    for (size_t i = 0; i < choices_.size(); ++i) {
      ApiJson delta = {{"role", "assistant"}, {"content", ""}};
      ApiJson chunk = Chunk(i, std::move(delta));
      if (i == 0 && fields_.return_token_ids) {
        chunk["prompt_token_ids"] = prompt_ids_;
      }
      events += DataEvent(chunk);
    }
    call_->Send(events);
  }

  bool Take(size_t, TextEvent event) override {
    Choice& choice = choices_[event.index];
    std::vector<AnswerEvent> events;
    std::vector<SampledToken> content_tokens;
    choice.reader.Take(event, &events, &content_tokens);
    choice.tokens += static_cast<int64_t>(event.tokens.size());
    if (event.finish != FinishReason::kNone) {
      choice.finish = event.finish;
      call_->NoteTimes(event.usage);
      usage_.cached_tokens = event.usage.cached_tokens;
      usage_.completion_tokens += event.usage.completion_tokens;
      usage_.reasoning_tokens += choice.reader.thought_tokens();
    }
    for (PromptLogprob& one : event.prompt_logprobs) {
      prompt_logprobs_.push_back(std::move(one));
    }
    if (fields_.stream) return Stream(event, events, content_tokens);
    for (AnswerEvent& one : events) Keep(std::move(one), &choice);
    if (logprobs_) {
      std::move(content_tokens.begin(), content_tokens.end(),
                std::back_inserter(choice.content_tokens));
    }
    if (fields_.return_token_ids) {
      for (const SampledToken& token : event.tokens) {
        choice.ids.push_back(token.token);
      }
    }
    return true;
  }

  void End() override {
    EndAnswer(
        fields_, usage_, Head("chat.completion.chunk"),
        [this] { return Whole(); }, call_.get());
  }

  void Fail(const absl::Status& status) override {
    FailAnswer(fields_.stream, status, call_.get());
  }

 private:
  ApiJson Head(const char* object) const {
    ApiJson head;
    head["id"] = id_;
    head["object"] = object;
    head["created"] = created_;
    head["model"] = model_;
    return head;
  }

  ApiJson Chunk(size_t index, ApiJson delta) const {
    ApiJson choice;
    choice["index"] = index;
    choice["delta"] = std::move(delta);
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = nullptr;
    ApiJson chunk = Head("chat.completion.chunk");
    chunk["choices"] = ApiJson::array({std::move(choice)});
    if (fields_.include_usage) {
      chunk["usage"] =
          fields_.continuous_usage ? UsageSoFar() : ApiJson(nullptr);
    }
    return chunk;
  }

  ApiJson UsageSoFar() const {
    CallUsage usage = usage_;
    usage.completion_tokens = 0;
    for (const Choice& choice : choices_) {
      usage.completion_tokens += choice.tokens;
    }
    return UsageJson(usage);
  }

  void Keep(AnswerEvent event, Choice* choice) const {
    switch (event.kind) {
      case AnswerEventKind::kThought:
        choice->thought += event.text;
        break;
      case AnswerEventKind::kContent:
        choice->content += event.text;
        break;
      case AnswerEventKind::kCallBegin:
        choice->calls.push_back({call_->NewId("call_"), event.text, ""});
        break;
      case AnswerEventKind::kArguments:
        choice->calls.back().arguments += event.text;
        break;
      case AnswerEventKind::kCallEnd:
        break;
    }
  }

  // What `event` adds to a streamed message; null: nothing.
  ApiJson Delta(const AnswerEvent& event) const {
    switch (event.kind) {
      case AnswerEventKind::kThought:
        if (!show_thoughts_) return nullptr;
        return {{"reasoning_content", event.text}, {"reasoning", event.text}};
      case AnswerEventKind::kContent:
        return {{"content", event.text}};
      case AnswerEventKind::kCallBegin: {
        ApiJson call = {
            {"index", event.call},
            {"id", call_->NewId("call_")},
            {"type", "function"},
            {"function", {{"name", event.text}, {"arguments", ""}}}};
        return {{"tool_calls", ApiJson::array({std::move(call)})}};
      }
      case AnswerEventKind::kArguments: {
        ApiJson call = {{"index", event.call},
                        {"function", {{"arguments", event.text}}}};
        return {{"tool_calls", ApiJson::array({std::move(call)})}};
      }
      case AnswerEventKind::kCallEnd:
        break;
    }
    return nullptr;
  }

  bool Stream(const TextEvent& event, const std::vector<AnswerEvent>& events,
              const std::vector<SampledToken>& content_tokens) {
    const Choice& choice = choices_[event.index];
    std::vector<ApiJson> chunks;
    for (const AnswerEvent& one : events) {
      ApiJson delta = Delta(one);
      if (delta.is_null()) continue;
      chunks.push_back(Chunk(event.index, std::move(delta)));
    }
    const bool tells_tokens =
        (logprobs_ && !content_tokens.empty()) ||
        (fields_.return_token_ids && !event.tokens.empty());
    if (chunks.empty() && tells_tokens) {
      chunks.push_back(Chunk(event.index, ApiJson::object()));
    }
    if (!chunks.empty()) {
      ApiJson& last = chunks.back()["choices"][0];
      if (logprobs_ && !content_tokens.empty()) {
        last["logprobs"] = {
            {"content", LogprobsJson(content_tokens, top_, names_)},
            {"refusal", nullptr}};
      }
      if (fields_.return_token_ids) {
        ApiJson ids = ApiJson::array();
        for (const SampledToken& token : event.tokens) {
          ids.push_back(token.token);
        }
        last["token_ids"] = std::move(ids);
      }
    }
    if (event.finish != FinishReason::kNone) {
      ApiJson chunk = Chunk(event.index, ApiJson::object());
      chunk["choices"][0]["finish_reason"] =
          FinishName(event.finish, choice.reader.called());
      chunks.push_back(std::move(chunk));
    }
    std::string text;
    for (const ApiJson& chunk : chunks) text += DataEvent(chunk);
    return call_->Send(text);
  }

  ApiJson Message(const Choice& choice) const {
    ApiJson message;
    message["role"] = "assistant";
    const bool silent = choice.content.empty() && !choice.calls.empty();
    message["content"] = silent ? ApiJson(nullptr) : ApiJson(choice.content);
    message["refusal"] = nullptr;
    if (show_thoughts_ && !choice.thought.empty()) {
      message["reasoning_content"] = choice.thought;
      message["reasoning"] = choice.thought;
    }
    if (choice.calls.empty()) return message;
    for (const ToolCallSoFar& call : choice.calls) {
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    return message;
  }

  ApiJson Whole() const {
    ApiJson answer = Head("chat.completion");
    answer["choices"] = ApiJson::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      ApiJson one;
      one["index"] = i;
      one["message"] = Message(choice);
      one["logprobs"] = nullptr;
      if (logprobs_) {
        one["logprobs"] = {
            {"content", LogprobsJson(choice.content_tokens, top_, names_)},
            {"refusal", nullptr}};
      }
      one["finish_reason"] = FinishName(choice.finish, choice.reader.called());
      if (fields_.return_token_ids) one["token_ids"] = choice.ids;
      answer["choices"].push_back(std::move(one));
    }
    answer["usage"] = UsageJson(usage_);
    if (fields_.return_timings) answer["timings"] = call_->TimingsJson();
    if (fields_.text.prompt_logprobs >= 0) {
      answer["prompt_logprobs"] = PromptLogprobsJson(prompt_logprobs_, names_);
    }
    if (fields_.return_token_ids) answer["prompt_token_ids"] = prompt_ids_;
    return answer;
  }

  const std::shared_ptr<ApiCall> call_;
  const GenerationFields fields_;
  const bool show_thoughts_;
  const bool logprobs_;
  const TokenNames names_;
  const int top_;
  const std::string id_;
  const std::string model_;
  const int64_t created_;

  std::vector<Choice> choices_;
  std::vector<int32_t> prompt_ids_;
  std::vector<PromptLogprob> prompt_logprobs_;
  CallUsage usage_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeChatAnswer(std::shared_ptr<ApiCall> call,
                                             const ChatRequest& request,
                                             const GenerateRequest& prepared,
                                             const std::string& model,
                                             const Tokenizer* tokenizer) {
  return std::make_unique<ChatAnswer>(std::move(call), request, prepared, model,
                                      tokenizer);
}

}  // namespace facet
