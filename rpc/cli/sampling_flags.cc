#include "rpc/cli/sampling_flags.h"

#include "absl/strings/str_cat.h"

namespace facet {

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
}

void Apply(const SamplingFlags& flags, TextRequest* request) {
  request->sampling = flags.sampling;
  request->max_tokens = flags.max_tokens;
  request->stop = flags.stop;
  request->ignore_eos = flags.ignore_eos;
}

}  // namespace facet
