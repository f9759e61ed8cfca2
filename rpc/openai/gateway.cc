#include "rpc/openai/gateway.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/openai/api_call.h"
#include "rpc/openai/api_error.h"
#include "rpc/openai/chat_answer.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/completion_answer.h"
#include "rpc/openai/completion_request.h"
#include "rpc/openai/field_table.h"
#include "rpc/openai/generation.h"
#include "rpc/openai/responses_answer.h"
#include "rpc/openai/responses_request.h"
#include "rpc/openai/tokenize_request.h"
#include "rpc/openai/tool_call_form.h"
#include "rpc/openai/work_threads.h"

namespace facet {
namespace {

using CallPtr = std::shared_ptr<ApiCall>;

constexpr char kModels[] = "/v1/models";

bool IsOurs(const std::string& path) {
  return absl::StartsWith(path, "/v1/") || path == "/tokenize" ||
         path == "/detokenize";
}

// "%2F" and the like decoded; what is no escape stays.
std::string Unescaped(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2])) {
      plain += static_cast<char>(
          std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

class GatewayImpl : public Gateway {
 public:
  GatewayImpl(const GatewayOptions& options, AccessLog* log)
      : options_(options),
        log_(log),
        prepare_(std::make_shared<WorkThreads>(options.prepare_threads)),
        answer_(std::make_shared<WorkThreads>(options.answer_threads)) {}

  ~GatewayImpl() override {
    prepare_->Stop();
    answer_->Stop();
  }

  void Serve(const FrontDoor* front_door, RequestLedger* ledger) override {
    ledger_ = ledger;
    names_ = options_.model_names;
    if (names_.empty()) names_.push_back(front_door->model().name);
    created_ = absl::ToUnixSeconds(absl::Now());
    front_door_.store(front_door, std::memory_order_release);
  }

  bool Handle(const std::shared_ptr<HttpExchange>& exchange) override {
    if (!IsOurs(exchange->request().path)) return false;
    auto call = std::make_shared<ApiCall>(
        exchange, log_, &options_.allowed_origins, options_.spans);
    const absl::Status refused = Route(call);
    if (!refused.ok()) call->Fail(refused);
    return true;
  }

 private:
  using Work = absl::Status (GatewayImpl::*)(const CallPtr& call);

  const FrontDoor& front_door() const {
    return *front_door_.load(std::memory_order_acquire);
  }

  // Answers, or sees to it that somebody does, unless there is an error.
  absl::Status Route(const CallPtr& call) {
    const HttpRequest& request = call->request();
    if (request.method == "OPTIONS" && !options_.allowed_origins.empty()) {
      Preflight(*call);
      return absl::OkStatus();
    }
    FACET_RETURN_IF_ERROR(Admit(*call));
    const bool models = request.path == kModels ||
                        absl::StartsWith(request.path, "/v1/models/");
    Work work = nullptr;
    for (const Endpoint endpoint : kEndpoints) {
      if (request.path == PathOf(endpoint)) work = WorkOf(endpoint);
    }
    if (!models && work == nullptr) {
      return absl::NotFoundError(absl::StrCat("no such path ", request.path));
    }
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (models ? !reads : request.method != "POST") {
      HttpResponse response = ResponseOf(HttpError(
          405, absl::StrCat(request.path, " takes ", models ? "GET" : "POST",
                            ", not ", request.method)));
      response.headers.push_back({"Allow", models ? "GET, HEAD" : "POST"});
      call->Respond(std::move(response));
      return absl::OkStatus();
    }
    if (front_door_.load(std::memory_order_acquire) == nullptr) {
      return WithRetryAfter(
          absl::UnavailableError("the model is still being loaded"),
          absl::Seconds(5));
    }
    if (models) return Models(*call);
    FACET_RETURN_IF_ERROR(CheckContentType(request));
    prepare_->Post([this, call, work] {
      absl::Status status = ReadKey(*call);
      if (status.ok()) status = (this->*work)(call);
      if (!status.ok()) call->Fail(status);
    });
    return absl::OkStatus();
  }

  // What is only read counts against no limit.
  absl::Status Admit(ApiCall& call) const {
    if (options_.keeper == nullptr) return absl::OkStatus();
    const std::string* given = call.request().Header("authorization");
    const absl::string_view authorization =
        given == nullptr ? absl::string_view() : absl::string_view(*given);
    if (call.request().method != "POST") {
      return options_.keeper->Check(authorization);
    }
    FACET_ASSIGN_OR_RETURN(std::shared_ptr<const DoorPass> pass,
                           options_.keeper->Admit(authorization, absl::Now()));
    call.SetPass(std::move(pass));
    return absl::OkStatus();
  }

  // The same body at another path asks for something else.
  absl::Status ReadKey(ApiCall& call) const {
    const HttpRequest& request = call.request();
    const std::string* given = request.Header("idempotency-key");
    if (given == nullptr || ledger_ == nullptr) return absl::OkStatus();
    RequestKey key;
    key.key = std::string(absl::StripAsciiWhitespace(*given));
    FACET_RETURN_IF_ERROR(CheckRequestKey(key.key, "Idempotency-Key"));
    if (call.pass() != nullptr) key.owner = call.pass()->key_name();
    key.body = RequestDigest({request.path, request.body});
    key.begun = ledger_->Begun(key);
    call.SetKey(std::move(key));
    return absl::OkStatus();
  }

  static Work WorkOf(Endpoint endpoint) {
    switch (endpoint) {
      case Endpoint::kChatCompletions:
        return &GatewayImpl::Chat;
      case Endpoint::kCompletions:
        return &GatewayImpl::Complete;
      case Endpoint::kResponses:
        return &GatewayImpl::Respond;
      case Endpoint::kTokenize:
        return &GatewayImpl::Tokenize;
      case Endpoint::kDetokenize:
        break;
    }
    return &GatewayImpl::Detokenize;
  }

  // Pages of other sites may send text without being asked; JSON they may not.
  static absl::Status CheckContentType(const HttpRequest& request) {
    const std::string* type = request.Header("content-type");
    const absl::string_view name =
        type == nullptr
            ? absl::string_view()
            : absl::StripAsciiWhitespace(absl::string_view(
                  type->data(), std::min(type->find(';'), type->size())));
    if (absl::EqualsIgnoreCase(name, "application/json")) {
      return absl::OkStatus();
    }
    return HttpError(
        415, absl::StrCat("Content-Type has to be application/json, not \"",
                          name, "\""));
  }

  static void Preflight(ApiCall& call) {
    HttpResponse response;
    response.status = 204;
    response.headers = {
        {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
        {"Access-Control-Allow-Headers",
         "authorization, content-type, idempotency-key, traceparent, "
         "tracestate, x-request-id"},
        {"Access-Control-Max-Age", "600"}};
    call.Respond(std::move(response));
  }

  ApiJson ModelJson(const std::string& name) const {
    return {{"id", name},
            {"object", "model"},
            {"created", created_},
            {"owned_by", "facet"},
            {"max_model_len", front_door().Info().context_tokens}};
  }

  absl::Status Models(ApiCall& call) const {
    const std::string& path = call.request().path;
    if (path != kModels) {
      FACET_ASSIGN_OR_RETURN(
          const std::string name,
          ServedName(Unescaped(path.substr(sizeof(kModels)))));
      call.RespondJson(ModelJson(name));
      return absl::OkStatus();
    }
    ApiJson list = ApiJson::array();
    for (const std::string& name : names_) list.push_back(ModelJson(name));
    ApiJson body;
    body["object"] = "list";
    body["data"] = std::move(list);
    call.RespondJson(body);
    return absl::OkStatus();
  }

  // `asked`, or the first name where none was asked for.
  absl::StatusOr<std::string> ServedName(const std::string& asked) const {
    if (asked.empty()) return names_.front();
    for (const std::string& name : names_) {
      if (name == asked) return name;
    }
    return absl::NotFoundError(absl::StrCat("model: there is no \"", asked,
                                            "\" here, only ",
                                            absl::StrJoin(names_, ", ")));
  }

  // What the engine is asked for, `fields` applied.
  absl::StatusOr<GenerateRequest> Prepare(
      const GenerationFields& fields) const {
    FACET_ASSIGN_OR_RETURN(GenerateRequest prepared,
                           front_door().Prepare(fields.text));
    if (!fields.text.max_tokens.has_value()) {
      prepared.max_tokens = front_door().model().config.max_position_embeddings;
    }
    Truncate(fields, &prepared);
    return prepared;
  }

  void Truncate(const GenerationFields& fields,
                GenerateRequest* prepared) const {
    if (!fields.truncate_prompt.has_value()) return;
    const int64_t context = front_door().model().config.max_position_embeddings;
    const int64_t room = std::max<int64_t>(
        context - std::min(prepared->max_tokens, context / 2), 1);
    const int64_t keep =
        *fields.truncate_prompt == -1 ? room : *fields.truncate_prompt;
    std::vector<int32_t>& prompt = prepared->prompt;
    const int64_t size = static_cast<int64_t>(prompt.size());
    if (size <= keep) return;
    if (fields.truncate_right) {
      prompt.resize(keep);
    } else {
      prompt.erase(prompt.begin(), prompt.end() - keep);
    }
  }

  absl::Status Chat(const CallPtr& call) {
    FACET_ASSIGN_OR_RETURN(ChatRequest request,
                           ParseChatRequest(call->request().body));
    FACET_ASSIGN_OR_RETURN(const std::string model,
                           ServedName(request.fields.model));
    if (request.fields.stream && request.fields.text.prompt_logprobs >= 0) {
      return absl::InvalidArgumentError(
          "prompt_logprobs: not supported with stream = true");
    }
    FACET_RETURN_IF_ERROR(
        ApplyToolUse(request.tools, &request.fields.text.format));
    FACET_ASSIGN_OR_RETURN(GenerateRequest prepared, Prepare(request.fields));
    LimitCalls(request.tools, *front_door().model().tokenizer, &prepared);
    auto writer = MakeChatAnswer(call, request, prepared, model,
                                 front_door().model().tokenizer.get());
    StartGeneration(call, &front_door(), ledger_, answer_,
                    {std::move(prepared)}, "messages", std::move(writer));
    return absl::OkStatus();
  }

  absl::Status Respond(const CallPtr& call) {
    FACET_ASSIGN_OR_RETURN(ResponsesRequest request,
                           ParseResponsesRequest(call->request().body));
    FACET_ASSIGN_OR_RETURN(const std::string model,
                           ServedName(request.fields.model));
    FACET_RETURN_IF_ERROR(
        ApplyToolUse(request.tools, &request.fields.text.format));
    FACET_ASSIGN_OR_RETURN(GenerateRequest prepared, Prepare(request.fields));
    LimitCalls(request.tools, *front_door().model().tokenizer, &prepared);
    auto writer = MakeResponsesAnswer(call, request, prepared, model,
                                      front_door().model().tokenizer.get());
    StartGeneration(call, &front_door(), ledger_, answer_,
                    {std::move(prepared)}, "input", std::move(writer));
    return absl::OkStatus();
  }

  absl::Status Complete(const CallPtr& call) {
    FACET_ASSIGN_OR_RETURN(const CompletionRequest request,
                           ParseCompletionRequest(call->request().body));
    FACET_ASSIGN_OR_RETURN(const std::string model,
                           ServedName(request.fields.model));
    if (request.fields.stream && request.fields.text.prompt_logprobs >= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          request.echo && request.logprobs ? "echo" : "prompt_logprobs",
          ": not supported with log-probabilities and stream = true"));
    }
    std::vector<GenerateRequest> all;
    for (const CompletionPrompt& prompt : request.prompts) {
      GenerationFields fields = request.fields;
      if (fields.text.max_tokens == 0) fields.text.max_tokens = 1;
      fields.text.kind = PromptKind::kTokens;
      fields.text.tokens = prompt.tokens;
      if (!prompt.is_tokens) {
        FACET_ASSIGN_OR_RETURN(
            fields.text.tokens,
            TextTokens(prompt.text, request.add_special_tokens));
      }
      FACET_ASSIGN_OR_RETURN(GenerateRequest prepared, Prepare(fields));
      all.push_back(std::move(prepared));
    }
    auto writer = MakeCompletionAnswer(call, request, all, model,
                                       front_door().model().tokenizer.get());
    StartGeneration(call, &front_door(), ledger_, answer_, std::move(all),
                    "prompt", std::move(writer));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<int32_t>> TextTokens(const std::string& text,
                                                  bool add_special) const {
    const TextModel& model = front_door().model();
    if (add_special) return CompletionTokens(model, text);
    if (text.empty()) return absl::InvalidArgumentError("prompt: empty");
    return model.tokenizer->Encode(text, EncodeOptions());
  }

  absl::Status Tokenize(const CallPtr& call) {
    FACET_ASSIGN_OR_RETURN(const TokenizeRequest request,
                           ParseTokenizeRequest(call->request().body));
    FACET_RETURN_IF_ERROR(ServedName(request.model).status());
    const TextModel& model = front_door().model();
    std::vector<int32_t> ids;
    if (request.text.kind == PromptKind::kText) {
      if (!request.text.text.empty() || request.add_special_tokens) {
        if (request.text.text.empty()) {
          const auto bos = model.tokenizer->TokenId("<bos>");
          if (bos.has_value()) ids.push_back(*bos);
        } else {
          FACET_ASSIGN_OR_RETURN(
              ids, TextTokens(request.text.text, request.add_special_tokens));
        }
      }
    } else {
      const bool* thinking = request.text.enable_thinking.has_value()
                                 ? &*request.text.enable_thinking
                                 : nullptr;
      FACET_ASSIGN_OR_RETURN(
          ids, ConversationTokens(model, request.text.text, thinking));
    }
    ApiJson body;
    body["count"] = ids.size();
    body["max_model_len"] = model.config.max_position_embeddings;
    body["tokens"] = ids;
    if (request.return_token_strings) {
      body["token_strs"] = ApiJson::array();
      for (const int32_t id : ids) {
        body["token_strs"].push_back(TokenBytes(*model.tokenizer, id));
      }
    }
    call->RespondJson(body);
    return absl::OkStatus();
  }

  absl::Status Detokenize(const CallPtr& call) {
    FACET_ASSIGN_OR_RETURN(const DetokenizeRequest request,
                           ParseDetokenizeRequest(call->request().body));
    FACET_RETURN_IF_ERROR(ServedName(request.model).status());
    const absl::StatusOr<std::string> text =
        front_door().model().tokenizer->Decode(request.tokens,
                                               request.skip_special_tokens);
    if (!text.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokens: ", text.status().message()));
    }
    ApiJson body;
    body["prompt"] = *text;
    call->RespondJson(body);
    return absl::OkStatus();
  }

  const GatewayOptions options_;
  AccessLog* const log_;
  const std::shared_ptr<WorkThreads> prepare_;
  const std::shared_ptr<WorkThreads> answer_;
  RequestLedger* ledger_ = nullptr;  // set before front_door_
  std::vector<std::string> names_;   // the same
  int64_t created_ = 0;
  std::atomic<const FrontDoor*> front_door_ = nullptr;
};

}  // namespace

std::unique_ptr<Gateway> Gateway::Create(const GatewayOptions& options,
                                         AccessLog* log) {
  return std::make_unique<GatewayImpl>(options, log);
}

}  // namespace facet
