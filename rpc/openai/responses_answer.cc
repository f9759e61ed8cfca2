#include "rpc/openai/responses_answer.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rpc/openai/answer_json.h"
#include "rpc/openai/answer_reader.h"
#include "rpc/openai/api_error.h"
#include "rpc/openai/server_events.h"

namespace facet {
namespace {

enum class ItemKind { kNone, kReasoning, kMessage, kCall };

class ResponsesAnswer : public AnswerWriter {
 public:
  ResponsesAnswer(std::shared_ptr<ApiCall> call,
                  const ResponsesRequest& request,
                  const GenerateRequest& prepared, const std::string& model,
                  const Tokenizer* tokenizer)
      : call_(std::move(call)),
        stream_(request.fields.stream),
        show_thoughts_(request.show_thoughts),
        logprobs_(request.logprobs),
        top_(request.fields.text.sampling.top_logprobs),
        echo_(request.echo),
        names_(tokenizer, false),
        id_(request.fields.request_id.empty()
                ? call_->NewId("resp_")
                : "resp_" + request.fields.request_id),
        model_(model),
        created_(call_->created()),
        reader_(tokenizer, prepared, request.tools.declared()) {
    usage_.prompt_tokens = static_cast<int64_t>(prepared.prompt.size());
  }

  void Begin() override {
    if (!stream_) return;
    call_->StartEvents();
    Emit("response.created", {{"response", Response("in_progress")}});
    Emit("response.in_progress", {{"response", Response("in_progress")}});
    Flush();
  }

  bool Take(size_t, TextEvent event) override {
    std::vector<AnswerEvent> events;
    std::vector<SampledToken> content_tokens;
    reader_.Take(event, &events, &content_tokens);
    if (logprobs_) {
      std::move(content_tokens.begin(), content_tokens.end(),
                std::back_inserter(tokens_));
    }
    for (const AnswerEvent& one : events) Add(one);
    if (event.finish != FinishReason::kNone) {
      finish_ = event.finish;
      usage_.cached_tokens = event.usage.cached_tokens;
      usage_.completion_tokens = event.usage.completion_tokens;
      call_->NoteTimes(event.usage);
      usage_.reasoning_tokens = reader_.thought_tokens();
      CloseItem();
    }
    return Flush();
  }

  void End() override {
    call_->NoteUsage(usage_.prompt_tokens, usage_.completion_tokens);
    const char* status =
        finish_ == FinishReason::kLength ? "incomplete" : "completed";
    if (!stream_) {
      call_->RespondJson(Response(status));
      return;
    }
    Emit(absl::StrCat("response.", status).c_str(),
         {{"response", Response(status)}});
    Flush();
    call_->Finish();
  }

  void Fail(const absl::Status& status) override {
    if (!stream_) {
      call_->Fail(status);
      return;
    }
    call_->NoteError(status);
    const ApiError error = ErrorOf(status);
    ApiJson response = Response("failed");
    response["error"] = {{"code", error.code}, {"message", error.message}};
    Emit("response.failed", {{"response", std::move(response)}});
    Flush();
    call_->Finish();
  }

 private:
  ApiJson Response(const std::string& status) const {
    ApiJson json;
    json["id"] = id_;
    json["object"] = "response";
    json["created_at"] = created_;
    json["status"] = status;
    json["background"] = false;
    json["error"] = nullptr;
    json["incomplete_details"] = nullptr;
    if (status == "incomplete") {
      json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    }
    json["model"] = model_;
    json["output"] = output_;
    for (const auto& [name, value] : echo_.items()) json[name] = value;
    json["usage"] = nullptr;
    if (status == "completed" || status == "incomplete") {
      json["usage"] = {
          {"input_tokens", usage_.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage_.cached_tokens}}},
          {"output_tokens", usage_.completion_tokens},
          {"output_tokens_details",
           {{"reasoning_tokens", usage_.reasoning_tokens}}},
          {"total_tokens", usage_.prompt_tokens + usage_.completion_tokens}};
    }
    return json;
  }

  void Add(const AnswerEvent& event) {
    switch (event.kind) {
      case AnswerEventKind::kThought:
        if (!show_thoughts_) return;
        Open(ItemKind::kReasoning, "");
        AddText(event.text);
        return;
      case AnswerEventKind::kContent:
        Open(ItemKind::kMessage, "");
        AddText(event.text);
        return;
      case AnswerEventKind::kCallBegin:
        CloseItem();
        Open(ItemKind::kCall, event.text);
        return;
      case AnswerEventKind::kArguments:
        AddText(event.text);
        return;
      case AnswerEventKind::kCallEnd:
        CloseItem();
        return;
    }
  }

  ApiJson Part(const std::string& text) const {
    if (kind_ == ItemKind::kReasoning) {
      return {{"type", "reasoning_text"}, {"text", text}};
    }
    ApiJson part = {{"type", "output_text"},
                    {"text", text},
                    {"annotations", ApiJson::array()},
                    {"logprobs", ApiJson::array()}};
    return part;
  }

  // Goes on with an item of that kind, or begins one.
  void Open(ItemKind kind, const std::string& name) {
    if (kind_ == kind && kind != ItemKind::kCall) return;
    CloseItem();
    kind_ = kind;
    text_.clear();
    ApiJson& item = item_;
    item = ApiJson::object();
    if (kind == ItemKind::kReasoning) {
      item["id"] = call_->NewId("rs_");
      item["type"] = "reasoning";
      item["summary"] = ApiJson::array();
      item["content"] = ApiJson::array();
    } else if (kind == ItemKind::kMessage) {
      item["id"] = call_->NewId("msg_");
      item["type"] = "message";
      item["role"] = "assistant";
      item["content"] = ApiJson::array();
    } else {
      item["id"] = call_->NewId("fc_");
      item["type"] = "function_call";
      item["call_id"] = call_->NewId("call_");
      item["name"] = name;
      item["arguments"] = "";
    }
    item["status"] = "in_progress";
    EmitItem("response.output_item.added", item);
    if (kind != ItemKind::kCall) {
      EmitInItem("response.content_part.added", {{"part", Part("")}});
    }
  }

  void AddText(const std::string& text) {
    text_ += text;
    if (!stream_) return;
    switch (kind_) {
      case ItemKind::kNone:
        return;
      case ItemKind::kReasoning:
        EmitInItem("response.reasoning_text.delta", {{"delta", text}});
        return;
      case ItemKind::kMessage:
        EmitInItem("response.output_text.delta",
                   {{"delta", text}, {"logprobs", NewLogprobs()}});
        return;
      case ItemKind::kCall:
        EmitInItem("response.function_call_arguments.delta", {{"delta", text}});
        return;
    }
  }

  // Of the tokens since the last call.
  ApiJson NewLogprobs() {
    ApiJson list = LogprobsJson(tokens_, top_, names_);
    tokens_.clear();
    for (const ApiJson& one : list) told_logprobs_.push_back(one);
    return list;
  }

  void CloseItem() {
    if (kind_ == ItemKind::kNone) return;
    if (kind_ == ItemKind::kCall) {
      item_["arguments"] = text_;
      EmitInItem("response.function_call_arguments.done",
                 {{"arguments", text_}, {"name", item_["name"]}});
    } else {
      const bool thought = kind_ == ItemKind::kReasoning;
      ApiJson part = Part(text_);
      ApiJson done = {{"text", text_}};
      if (!thought) {
        NewLogprobs();
        part["logprobs"] = std::exchange(told_logprobs_, ApiJson::array());
        done["logprobs"] = part["logprobs"];
      }
      EmitInItem(thought ? "response.reasoning_text.done"
                         : "response.output_text.done",
                 std::move(done));
      EmitInItem("response.content_part.done", {{"part", part}});
      item_["content"].push_back(std::move(part));
    }
    item_["status"] =
        finish_ == FinishReason::kLength ? "incomplete" : "completed";
    EmitItem("response.output_item.done", item_);
    output_.push_back(std::move(item_));
    kind_ = ItemKind::kNone;
  }

  void EmitItem(const char* type, const ApiJson& item) {
    Emit(type, {{"output_index", output_.size()}, {"item", item}});
  }

  void EmitInItem(const char* type, ApiJson fields) {
    fields["item_id"] = item_["id"];
    fields["output_index"] = output_.size();
    if (kind_ != ItemKind::kCall) fields["content_index"] = 0;
    Emit(type, std::move(fields));
  }

  void Emit(const char* type, ApiJson fields) {
    if (!stream_) return;
    ApiJson event;
    event["type"] = type;
    event["sequence_number"] = sequence_++;
    for (auto& [name, value] : fields.items()) event[name] = std::move(value);
    pending_ += NamedEvent(event);
  }

  bool Flush() {
    return !stream_ || call_->Send(std::exchange(pending_, std::string()));
  }

  const std::shared_ptr<ApiCall> call_;
  const bool stream_;
  const bool show_thoughts_;
  const bool logprobs_;
  const int top_;
  const ApiJson echo_;
  const TokenNames names_;
  const std::string id_;
  const std::string model_;
  const int64_t created_;
  AnswerReader reader_;

  ApiJson output_ = ApiJson::array();  // items that are complete
  ItemKind kind_ = ItemKind::kNone;    // of the one that is not
  ApiJson item_;
  std::string text_;                  // or arguments, of that item
  std::vector<SampledToken> tokens_;  // of content, not told yet
  ApiJson told_logprobs_ = ApiJson::array();
  FinishReason finish_ = FinishReason::kNone;
  CallUsage usage_;
  int64_t sequence_ = 0;
  std::string pending_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeResponsesAnswer(
    std::shared_ptr<ApiCall> call, const ResponsesRequest& request,
    const GenerateRequest& prepared, const std::string& model,
    const Tokenizer* tokenizer) {
  return std::make_unique<ResponsesAnswer>(std::move(call), request, prepared,
                                           model, tokenizer);
}

}  // namespace facet
