// `facet generate`: answers prompts and exits.
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "rpc/cli/embedded_model.h"
#include "rpc/cli/input_files.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/sampling_flags.h"
#include "rpc/cli/server_flags.h"
#include "rpc/cli/verb.h"
#include "rpc/client/client.h"
#include "rpc/client/local_client.h"

namespace facet {
namespace {

struct GenerateFlags {
  ModelFlags model;
  SamplingFlags sampling;
  ServerFlags server;
  std::optional<std::string> prompt;
  std::string conversation;
  std::string tokens;
  std::optional<int> logprobs;
  std::optional<int> prompt_logprobs;
  bool json = false;
};

// One answer as it grows.
struct Answer {
  std::vector<SampledToken> tokens;
  std::vector<PromptLogprob> prompt_logprobs;
  std::string text;
  FinishReason finish = FinishReason::kNone;
};

absl::StatusOr<std::vector<TextRequest>> MakeRequests(
    const GenerateFlags& flags) {
  const int given = (flags.prompt.has_value() ? 1 : 0) +
                    (flags.conversation.empty() ? 0 : 1) +
                    (flags.tokens.empty() ? 0 : 1);
  if (given != 1) {
    return absl::InvalidArgumentError(
        "give exactly one of --prompt, --conversation and --tokens");
  }
  TextRequest request;
  FACET_RETURN_IF_ERROR(Apply(flags.sampling, &request));
  if (!request.sampling.temperature) request.sampling.temperature = 0.0f;
  if (flags.logprobs.has_value()) {
    if (!flags.json) {
      return absl::InvalidArgumentError("--logprobs: needs --json");
    }
    request.sampling.logprobs = true;
    request.sampling.top_logprobs = *flags.logprobs;
  }
  if (flags.prompt_logprobs.has_value()) {
    if (!flags.json) {
      return absl::InvalidArgumentError("--prompt-logprobs: needs --json");
    }
    request.prompt_logprobs = *flags.prompt_logprobs;
  }
  std::vector<TextRequest> requests;
  if (flags.prompt.has_value()) {
    request.kind = PromptKind::kText;
    request.text = *flags.prompt;
    requests.push_back(std::move(request));
  } else if (!flags.conversation.empty()) {
    request.kind = PromptKind::kConversation;
    FACET_ASSIGN_OR_RETURN(request.text, ReadInput(flags.conversation));
    FACET_RETURN_IF_ERROR(
        Annotate(ParseConversation(request.text).status(), flags.conversation));
    requests.push_back(std::move(request));
  } else {
    request.kind = PromptKind::kTokens;
    FACET_ASSIGN_OR_RETURN(auto prompts, ReadPrompts(flags.tokens));
    for (std::vector<int32_t>& prompt : prompts) {
      requests.push_back(request);
      requests.back().tokens = std::move(prompt);
    }
  }
  return requests;
}

// `token` is a SampledToken or a PromptLogprob.
template <typename T>
nlohmann::ordered_json Logprobs(const T& token) {
  nlohmann::ordered_json json = {{"id", token.token},
                                 {"logprob", token.logprob},
                                 {"top", nlohmann::ordered_json::array()}};
  for (const TokenLogprob& top : token.top) {
    json["top"].push_back({{"id", top.token}, {"logprob", top.logprob}});
  }
  return json;
}

nlohmann::ordered_json ToJson(const Answer& answer, bool logprobs) {
  nlohmann::ordered_json json;
  nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
  nlohmann::ordered_json details = nlohmann::ordered_json::array();
  for (const SampledToken& token : answer.tokens) {
    tokens.push_back(token.token);
    details.push_back(Logprobs(token));
  }
  json["tokens"] = std::move(tokens);
  json["text"] = answer.text;
  json["finish_reason"] = Name(answer.finish);
  if (logprobs) json["logprobs"] = std::move(details);
  for (const PromptLogprob& token : answer.prompt_logprobs) {
    json["prompt_logprobs"].push_back(Logprobs(token));
  }
  return json;
}

// What all answers took together.
struct Timing {
  absl::Time start = absl::Now();
  absl::Time first_token;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these, found in the prefix cache
  int64_t tokens = 0;
  int64_t first_tokens = 0;  // that came at first_token

  void Count(int64_t count) {
    if (count == 0) return;
    if (tokens == 0) {
      first_token = absl::Now();
      first_tokens = count;
    }
    tokens += count;
  }
  nlohmann::ordered_json ToJson(double load_seconds) const {
    const absl::Time end = absl::Now();
    const double decode = absl::ToDoubleSeconds(end - first_token);
    nlohmann::ordered_json json;
    json["load_s"] = load_seconds;
    json["first_token_s"] =
        tokens > 0 ? absl::ToDoubleSeconds(first_token - start) : 0.0;
    json["decode_tokens_per_s"] =
        tokens > first_tokens && decode > 0
            ? static_cast<double>(tokens - first_tokens) / decode
            : 0.0;
    json["total_s"] = absl::ToDoubleSeconds(end - start);
    return json;
  }
};

absl::Status Generate(const GenerateFlags& flags) {
  if (flags.model.model.empty() == flags.server.server.empty()) {
    return absl::InvalidArgumentError(
        "give either --model or --server, so that there is one model to ask");
  }
  FACET_ASSIGN_OR_RETURN(const std::vector<TextRequest> requests,
                         MakeRequests(flags));
  std::unique_ptr<EmbeddedModel> embedded;
  std::unique_ptr<Client> client;
  if (!flags.server.server.empty()) {
    FACET_ASSIGN_OR_RETURN(client, Connect(flags.server));
  } else {
    EmbeddedModelOptions options;
    FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(flags.model));
    options.chat_format = flags.model.chat_format;
    options.max_queue = static_cast<int>(requests.size()) * kMaxAnswers + 1;
    FACET_ASSIGN_OR_RETURN(embedded, EmbeddedModel::Start(options));
    client = MakeLocalClient(&embedded->front_door());
  }

  // Those of a prompt follow each other.
  const size_t n = static_cast<size_t>(std::max(1, flags.sampling.n));
  std::vector<Answer> answers(requests.size() * n);
  const bool stream = !flags.json && answers.size() == 1;
  Timing timing;
  FACET_RETURN_IF_ERROR(
      client->Generate(requests, [&](size_t index, const TextEvent& event) {
        Answer& answer = answers[index * n + event.index];
        timing.Count(static_cast<int64_t>(event.tokens.size()));
        answer.tokens.insert(answer.tokens.end(), event.tokens.begin(),
                             event.tokens.end());
        answer.text += event.text;
        if (stream) {
          std::fputs(event.text.c_str(), stdout);
          std::fflush(stdout);
        }
        if (event.finish != FinishReason::kNone) {
          answer.finish = event.finish;
        }
        if (event.done) {
          timing.prompt_tokens += event.usage.prompt_tokens;
          timing.cached_tokens += event.usage.cached_tokens;
        }
        answer.prompt_logprobs.insert(answer.prompt_logprobs.end(),
                                      event.prompt_logprobs.begin(),
                                      event.prompt_logprobs.end());
        return true;
      }));

  if (flags.json) {
    nlohmann::ordered_json json;
    json["outputs"] = nlohmann::ordered_json::array();
    for (const Answer& answer : answers) {
      json["outputs"].push_back(ToJson(answer, flags.logprobs.has_value()));
    }
    json["usage"] = {{"prompt_tokens", timing.prompt_tokens},
                     {"cached_tokens", timing.cached_tokens},
                     {"completion_tokens", timing.tokens}};
    json["timing"] =
        timing.ToJson(embedded != nullptr ? embedded->load_seconds() : 0.0);
    std::printf("%s\n", json.dump(-1, ' ', false,
                                  nlohmann::json::error_handler_t::replace)
                            .c_str());
    return absl::OkStatus();
  }
  if (!stream) {
    for (const Answer& answer : answers) {
      std::printf("%s\n", answer.text.c_str());
    }
  } else {
    std::printf("\n");
  }
  return absl::OkStatus();
}

}  // namespace

int RunGenerate(int argc, char** argv) {
  GenerateFlags flags;
  const auto app = MakeApp(
      "generate",
      "Answers one prompt, one conversation or many lists of token ids, and "
      "exits.\nThe text goes to stdout as it comes. In --json, \"tokens\" has "
      "the token that\nended an answer, \"text\" has no special tokens.",
      "  facet generate --model DIR --prompt=\"The capital of France is\"\n"
      "  facet generate --model DIR --conversation=chat.json --max-tokens=200\n"
      "  facet generate --model DIR --tokens=in.json --json --workers=2\n"
      "  facet generate --server=127.0.0.1:8001 --prompt=\"Hello\"\n\n"
      "chat.json: {\"messages\": [{\"role\": \"user\", \"content\": "
      "\"Hello\"}]}\n"
      "in.json:   {\"prompts\": [[2, 105, 9731], [2, 106]]}\n");
  app->add_option("--prompt", flags.prompt,
                  "Text to continue; <bos> is put in front once");
  app->add_option("--conversation", flags.conversation,
                  "JSON file with messages, tools and enable_thinking");
  app->add_option("--tokens", flags.tokens,
                  "JSON file with prompts as token ids, run side by side");
  app->add_flag("--json", flags.json, "One JSON object in place of text");
  app->add_option("--logprobs", flags.logprobs,
                  "In --json, log-probabilities: of the chosen token and of "
                  "this many best ones")
      ->expected(0, 1)
      ->default_str("0");
  app->add_option("--prompt-logprobs", flags.prompt_logprobs,
                  "In --json, the same for the tokens of the prompt")
      ->expected(0, 1)
      ->default_str("0");
  AddServerFlags(app.get(), &flags.server);
  AddModelFlags(app.get(), &flags.model, /*required=*/false);
  AddSamplingFlags(app.get(), &flags.sampling, "greedy", 256);
  AddFormatFlags(app.get(), &flags.sampling);
  return RunVerb(app.get(), argc, argv, [&] { return Generate(flags); });
}

}  // namespace facet
