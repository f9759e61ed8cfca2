// The flags that say how an answer is drawn and when it ends.
#ifndef FACET_RPC_CLI_SAMPLING_FLAGS_H_
#define FACET_RPC_CLI_SAMPLING_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "rpc/convert/text_messages.h"

namespace facet {

struct SamplingFlags {
  SamplingOptions sampling;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  int n = 1;
  int best_of = 0;
  int64_t min_tokens = 0;
  std::vector<std::string> logit_bias;  // ID=BIAS
  int priority = 0;
  std::string timeout;
  bool json_object = false;
  std::string json_schema;  // files
  std::string regex;
  std::string grammar;
  std::vector<std::string> choices;
};

// How an answer is drawn. `unset_temperature` tells in the help what no
// --temperature means.
void AddSamplingFlags(CLI::App* app, SamplingFlags* flags,
                      const std::string& unset_temperature,
                      int64_t default_max_tokens);

// What an answer must look like, and several answers to one prompt.
void AddFormatFlags(CLI::App* app, SamplingFlags* flags);

// Sets what the flags say.
//
// Errors: INVALID_ARGUMENT for a value that is none, or two output formats;
// those of reading a file. Each names the flag.
absl::Status Apply(const SamplingFlags& flags, TextRequest* request);

}  // namespace facet

#endif  // FACET_RPC_CLI_SAMPLING_FLAGS_H_
