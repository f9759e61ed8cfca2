#include "rpc/cli/sampling_flags.h"

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/input_files.h"

namespace facet {
namespace {

absl::StatusOr<TokenBias> ParseBias(const std::string& text) {
  const std::vector<std::string> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  TokenBias bias;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &bias.token) ||
      !absl::SimpleAtof(parts[1], &bias.bias)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--logit-bias: \"", text, "\" is not ID=BIAS, such as 236743=-5"));
  }
  return bias;
}

absl::StatusOr<OutputFormat> Format(const SamplingFlags& flags) {
  OutputFormat format;
  int given = 0;
  const auto take = [&](OutputKind kind, const std::string& text) {
    ++given;
    format.kind = kind;
    format.text = text;
  };
  if (flags.json_object) take(OutputKind::kJsonObject, "");
  if (!flags.regex.empty()) take(OutputKind::kRegex, flags.regex);
  if (!flags.json_schema.empty()) {
    FACET_ASSIGN_OR_RETURN(const std::string text,
                           ReadInput(flags.json_schema));
    take(OutputKind::kJsonSchema, text);
  }
  if (!flags.grammar.empty()) {
    FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.grammar));
    take(OutputKind::kGrammar, text);
  }
  if (!flags.choices.empty()) {
    take(OutputKind::kChoice, "");
    format.choices = flags.choices;
  }
  if (given > 1) {
    return absl::InvalidArgumentError(
        "give at most one of --json-object, --json-schema, --regex, --grammar "
        "and --choice");
  }
  return format;
}

}  // namespace

void AddSamplingFlags(CLI::App* app, SamplingFlags* flags,
                      const std::string& unset_temperature,
                      int64_t default_max_tokens) {
  const std::string group = "How the answer is drawn";
  flags->max_tokens = default_max_tokens;
  app->add_option(
         "--max-tokens", flags->max_tokens,
         absl::StrCat("Most tokens of an answer [", default_max_tokens, "]"))
      ->group(group);
  app->add_option("--temperature", flags->sampling.temperature,
                  absl::StrCat("0 is greedy; default: ", unset_temperature))
      ->group(group);
  app->add_option("--top-k", flags->sampling.top_k,
                  "0: off; default: generation_config.json's")
      ->group(group);
  app->add_option("--top-p", flags->sampling.top_p,
                  "1: off; default: generation_config.json's")
      ->group(group);
  app->add_option("--min-p", flags->sampling.min_p, "0: off")->group(group);
  app->add_option("--seed", flags->sampling.seed,
                  "Makes a sampled answer repeatable; default: random")
      ->group(group);
  app->add_option("--stop", flags->stop,
                  "A text that ends the answer before it is shown; may be "
                  "given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  app->add_flag("--ignore-eos", flags->ignore_eos,
                "Go on past the model's end-of-sequence tokens")
      ->group(group);
  app->add_option("--min-tokens", flags->min_tokens,
                  "No end before so many tokens")
      ->group(group);
  app->add_option("--repetition-penalty", flags->sampling.repetition_penalty,
                  "Above 0, up to 2, of tokens in prompt or answer; 1: off")
      ->group(group);
  app->add_option("--presence-penalty", flags->sampling.presence_penalty,
                  "-2 to 2, of tokens in the answer; 0: off")
      ->group(group);
  app->add_option("--frequency-penalty", flags->sampling.frequency_penalty,
                  "The same for each time they occurred; 0: off")
      ->group(group);
  app->add_option("--logit-bias", flags->logit_bias,
                  "ID=BIAS, -100 to 100, added to a token's logit; may be "
                  "given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  app->add_option("--priority", flags->priority,
                  "Lower is more urgent, -100 to 100 [0]")
      ->group(group);
  app->add_option("--timeout", flags->timeout,
                  "Ends the request after this long, e.g. 30s")
      ->group(group);
}

void AddFormatFlags(CLI::App* app, SamplingFlags* flags) {
  const std::string group = "What comes out";
  app->add_option("--n", flags->n, "Answers to each prompt [1]")->group(group);
  app->add_option("--best-of", flags->best_of,
                  "Draw so many and show the --n likeliest")
      ->group(group);
  app->add_flag("--json-object", flags->json_object,
                "The answer is a JSON object")
      ->group(group);
  app->add_option("--json-schema", flags->json_schema,
                  "File with the JSON Schema it satisfies")
      ->group(group);
  app->add_option("--regex", flags->regex, "Pattern that all of it matches")
      ->group(group);
  app->add_option("--grammar", flags->grammar,
                  "File with its grammar in GBNF, from the rule `root`")
      ->group(group);
  app->add_option("--choice", flags->choices,
                  "One of the texts it may be; give it several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

absl::Status Apply(const SamplingFlags& flags, TextRequest* request) {
  request->sampling = flags.sampling;
  for (const std::string& text : flags.logit_bias) {
    FACET_ASSIGN_OR_RETURN(const TokenBias bias, ParseBias(text));
    request->sampling.logit_bias.push_back(bias);
  }
  request->max_tokens = flags.max_tokens;
  request->min_tokens = flags.min_tokens;
  request->stop = flags.stop;
  request->ignore_eos = flags.ignore_eos;
  request->n = flags.n;
  request->best_of = flags.best_of;
  request->priority = flags.priority;
  if (!flags.timeout.empty()) {
    absl::Duration timeout;
    FACET_RETURN_IF_ERROR(
        ParseDurationFlag("--timeout", flags.timeout, &timeout));
    request->timeout_s = absl::ToDoubleSeconds(timeout);
  }
  FACET_ASSIGN_OR_RETURN(request->format, Format(flags));
  return absl::OkStatus();
}

}  // namespace facet
