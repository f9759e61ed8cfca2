// The flags that say how an answer is drawn and when it ends.
#ifndef FACET_RPC_CLI_SAMPLING_FLAGS_H_
#define FACET_RPC_CLI_SAMPLING_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "rpc/convert/text_messages.h"

namespace facet {

struct SamplingFlags {
  SamplingOptions sampling;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// `unset_temperature` tells in the help what no --temperature means.
void AddSamplingFlags(CLI::App* app, SamplingFlags* flags,
                      const std::string& unset_temperature,
                      int64_t default_max_tokens);

// Sets what the flags say.
void Apply(const SamplingFlags& flags, TextRequest* request);

}  // namespace facet

#endif  // FACET_RPC_CLI_SAMPLING_FLAGS_H_
