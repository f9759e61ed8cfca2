#include "rpc/openai/completion_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/openai/field_table.h"

namespace facet {
namespace {

// OpenAI's default.
constexpr int64_t kDefaultTokens = 16;

// One prompt: a text, or a list of ids.
CompletionPrompt ReadPrompt(RequestReader& reader, const ApiJson& given,
                            const std::string& name) {
  CompletionPrompt prompt;
  if (given.is_string()) {
    prompt.text = given.get<std::string>();
    return prompt;
  }
  if (!given.is_array()) {
    reader.Fail(name, absl::StrCat("expected a text or token ids, found ",
                                   KindOf(given)));
    return prompt;
  }
  prompt.is_tokens = true;
  const ApiJson holder = {{name, given}};
  RequestReader ids(holder);
  ids.Read(name.c_str(), &prompt.tokens);
  reader.Fail(ids.status());
  return prompt;
}

void ReadPrompts(RequestReader& reader,
                 std::vector<CompletionPrompt>* prompts) {
  const ApiJson* given = reader.Find("prompt");
  if (given == nullptr) return reader.Fail("prompt", "missing");
  const bool several =
      given->is_array() && !given->empty() && !given->front().is_number();
  if (!several) {
    prompts->push_back(ReadPrompt(reader, *given, "prompt"));
    return;
  }
  if (given->size() > kMaxPrompts) {
    return reader.Fail(
        "prompt", absl::StrCat(given->size(), " prompts, at most ", kMaxPrompts,
                               " are taken"));
  }
  for (size_t i = 0; i < given->size() && reader.ok(); ++i) {
    prompts->push_back(
        ReadPrompt(reader, (*given)[i], absl::StrCat("prompt[", i, "]")));
  }
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseCompletionRequest(
    const std::string& body) {
  FACET_ASSIGN_OR_RETURN(const ApiJson json, ParseApiJson(body));
  FACET_RETURN_IF_ERROR(CheckFields(Endpoint::kCompletions, json));
  RequestReader reader(json);
  CompletionRequest request;
  TextRequest& text = request.fields.text;
  text.max_tokens = kDefaultTokens;
  ReadGenerationFields(reader, &request.fields);
  ReadCompletionFields(reader, &request.fields);
  ReadOutputFormat(reader, &text.format);
  std::optional<int> logprobs;
  reader.ReadInteger("logprobs", &logprobs);
  if (logprobs.has_value()) {
    request.logprobs = text.sampling.logprobs = true;
    text.sampling.top_logprobs = *logprobs;
  }
  reader.Read("echo", &request.echo);
  reader.Read("add_special_tokens", &request.add_special_tokens);
  ReadPrompts(reader, &request.prompts);
  if (text.max_tokens == 0 && !request.echo) {
    reader.Fail("max_tokens",
                "0 is out of range, legal is 1 and above, or 0 "
                "with echo");
  }
  FACET_RETURN_IF_ERROR(reader.status());
  if (request.echo && request.logprobs && text.prompt_logprobs < 0) {
    text.prompt_logprobs = text.sampling.top_logprobs;
  }
  return request;
}

}  // namespace facet
