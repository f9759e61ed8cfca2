#include "rpc/openai/completion_answer.h"

#include <cstdint>
#include <utility>

#include "rpc/openai/answer_end.h"
#include "rpc/openai/answer_json.h"
#include "rpc/openai/answer_reader.h"
#include "rpc/openai/completion_logprobs.h"
#include "rpc/openai/server_events.h"

namespace facet {
namespace {

struct Prompt {
  std::string text;  // if it is repeated
  std::vector<int32_t> ids;
  std::vector<PromptLogprob> logprobs;
};

// One answer of one prompt.
struct Choice {
  Choice(AnswerReader from, CompletionLogprobs empty)
      : reader(std::move(from)), logprobs(std::move(empty)) {}

  AnswerReader reader;
  CompletionLogprobs logprobs;
  std::string text;
  std::vector<int32_t> ids;  // if wanted
  int64_t tokens = 0;
  bool begun = false;
  FinishReason finish = FinishReason::kNone;
};

class CompletionAnswer : public AnswerWriter {
 public:
  CompletionAnswer(std::shared_ptr<ApiCall> call,
                   const CompletionRequest& request,
                   const std::vector<GenerateRequest>& prepared,
                   const std::string& model, const Tokenizer* tokenizer)
      : call_(std::move(call)),
        fields_(request.fields),
        echo_(request.echo),
        silent_(request.fields.text.max_tokens == 0),
        wants_logprobs_(request.logprobs),
        n_(prepared.front().n),
        names_(tokenizer, request.fields.tokens_as_ids),
        id_(request.fields.request_id.empty()
                ? call_->NewId("cmpl-")
                : "cmpl-" + request.fields.request_id),
        model_(model),
        created_(call_->created()) {
    for (size_t i = 0; i < prepared.size(); ++i) {
      Prompt prompt;
      prompt.ids = prepared[i].prompt;
      if (echo_) {
        prompt.text =
            tokenizer->Decode(prompt.ids, /*skip_special=*/true).value_or("");
      }
      usage_.prompt_tokens += static_cast<int64_t>(prompt.ids.size());
      prompts_.push_back(std::move(prompt));
      for (size_t j = 0; j < n_; ++j) {
        choices_.emplace_back(
            AnswerReader(tokenizer, prepared[i], /*calls=*/false),
            CompletionLogprobs(tokenizer, names_,
                               request.fields.text.sampling.top_logprobs));
      }
    }
  }

  void Begin() override {
    if (fields_.stream) call_->StartEvents();
  }

  bool Take(size_t request, TextEvent event) override {
    const size_t index = request * n_ + event.index;
    Choice& choice = choices_[index];
    Prompt& prompt = prompts_[request];
    for (PromptLogprob& one : event.prompt_logprobs) {
      prompt.logprobs.push_back(std::move(one));
    }
    if (silent_) {
      event.text.clear();
      event.tokens.clear();
      event.usage.completion_tokens = 0;
      if (event.finish != FinishReason::kNone) {
        event.finish = FinishReason::kLength;
      }
    }
    const bool stop = choice.reader.EndsWithStopToken(event);
    if (fields_.stream) BeginChoice(request, &choice);
    choice.text += event.text;
    for (size_t i = 0; i < event.tokens.size(); ++i) {
      const SampledToken& token = event.tokens[i];
      if (fields_.return_token_ids) choice.ids.push_back(token.token);
      if (stop && i + 1 == event.tokens.size()) break;
      if (wants_logprobs_) held_.push_back({index, token});
    }
    choice.tokens += static_cast<int64_t>(event.tokens.size());
    if (event.finish != FinishReason::kNone) {
      choice.finish = event.finish;
      call_->NoteTimes(event.usage);
      usage_.completion_tokens += event.usage.completion_tokens;
      if (event.index == 0) usage_.cached_tokens += event.usage.cached_tokens;
    }
    if (!fields_.stream) {
      // The prompt's come first, and are there once the first answer is.
      return true;
    }
    FlushLogprobs();
    return Stream(index, event);
  }

  void End() override {
    EndAnswer(
        fields_, usage_, Head(), [this] { return Whole(); }, call_.get());
  }

  void Fail(const absl::Status& status) override {
    FailAnswer(fields_.stream, status, call_.get());
  }

 private:
  ApiJson Head() const {
    ApiJson head;
    head["id"] = id_;
    head["object"] = "text_completion";
    head["created"] = created_;
    head["model"] = model_;
    return head;
  }

  // The prompt, where it is repeated.
  void BeginChoice(size_t request, Choice* choice) {
    if (std::exchange(choice->begun, true) || !echo_) return;
    const Prompt& prompt = prompts_[request];
    choice->text = prompt.text;
    if (!wants_logprobs_) return;
    choice->logprobs.Add(prompt.ids.front(), std::nullopt, {});
    for (const PromptLogprob& one : prompt.logprobs) {
      choice->logprobs.Add(one.token, one.logprob, one.top);
    }
  }

  void FlushLogprobs() {
    for (const auto& [index, token] : held_) {
      choices_[index].logprobs.Add(token.token, token.logprob, token.top);
    }
    held_.clear();
  }

  ApiJson ChoiceJson(size_t index, std::string text, ApiJson logprobs,
                     const char* finish) const {
    ApiJson json;
    json["index"] = index;
    json["text"] = std::move(text);
    json["logprobs"] = std::move(logprobs);
    json["finish_reason"] =
        finish == nullptr ? ApiJson(nullptr) : ApiJson(finish);
    return json;
  }

  bool Stream(size_t index, const TextEvent& event) {
    Choice& choice = choices_[index];
    const bool ends = event.finish != FinishReason::kNone;
    if (choice.text.empty() && event.tokens.empty() && !ends) return true;
    ApiJson json =
        ChoiceJson(index, std::exchange(choice.text, std::string()),
                   wants_logprobs_ ? choice.logprobs.Take() : ApiJson(nullptr),
                   ends ? FinishName(event.finish, false) : nullptr);
    if (fields_.return_token_ids) {
      json["token_ids"] = std::exchange(choice.ids, {});
      if (choice.tokens == static_cast<int64_t>(event.tokens.size())) {
        json["prompt_token_ids"] = prompts_[index / n_].ids;
      }
    }
    ApiJson chunk = Head();
    chunk["choices"] = ApiJson::array({std::move(json)});
    if (fields_.include_usage) {
      chunk["usage"] = nullptr;
      if (fields_.continuous_usage) {
        CallUsage usage = usage_;
        usage.completion_tokens = 0;
        for (const Choice& one : choices_)
          usage.completion_tokens += one.tokens;
        chunk["usage"] = UsageJson(usage);
      }
    }
    return call_->Send(DataEvent(chunk));
  }

  ApiJson Whole() {
    ApiJson answer = Head();
    answer["choices"] = ApiJson::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      const std::string said = std::exchange(choices_[i].text, std::string());
      BeginChoice(i / n_, &choices_[i]);
      choices_[i].text += said;
    }
    FlushLogprobs();
    for (size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      const Prompt& prompt = prompts_[i / n_];
      ApiJson json = ChoiceJson(
          i, choice.text,
          wants_logprobs_ ? choice.logprobs.Take() : ApiJson(nullptr),
          FinishName(choice.finish, false));
      if (fields_.return_token_ids) {
        json["token_ids"] = choice.ids;
        json["prompt_token_ids"] = prompt.ids;
      }
      if (fields_.text.prompt_logprobs >= 0) {
        json["prompt_logprobs"] = PromptLogprobsJson(prompt.logprobs, names_);
      }
      answer["choices"].push_back(std::move(json));
    }
    answer["usage"] = UsageJson(usage_);
    if (fields_.return_timings) answer["timings"] = call_->TimingsJson();
    return answer;
  }

  struct HeldToken {
    size_t index;  // of its choice
    SampledToken token;
  };

  const std::shared_ptr<ApiCall> call_;
  const GenerationFields fields_;
  const bool echo_;
  const bool silent_;  // the prompt alone is wanted
  const bool wants_logprobs_;
  const size_t n_;
  const TokenNames names_;
  const std::string id_;
  const std::string model_;
  const int64_t created_;

  std::vector<Prompt> prompts_;
  std::vector<Choice> choices_;
  std::vector<HeldToken> held_;
  CallUsage usage_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeCompletionAnswer(
    std::shared_ptr<ApiCall> call, const CompletionRequest& request,
    const std::vector<GenerateRequest>& prepared, const std::string& model,
    const Tokenizer* tokenizer) {
  return std::make_unique<CompletionAnswer>(std::move(call), request, prepared,
                                            model, tokenizer);
}

}  // namespace facet
