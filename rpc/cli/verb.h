// The verbs of the facet command. Each lives in a file of its own; verbs.cc
// lists them.
#ifndef FACET_RPC_CLI_VERB_H_
#define FACET_RPC_CLI_VERB_H_

#include <functional>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace facet {

// What a process returns.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitBadInput = 2;

struct Verb {
  const char* name;
  const char* summary;  // one line of `facet --help`
  // argv[0] is the verb. Returns the exit code.
  int (*run)(int argc, char** argv);
};

// All verbs, in the order in which help shows them.
absl::Span<const Verb> Verbs();

// kExitBadInput for what the user can put right in the command or its input.
int ExitCode(const absl::Status& status);

// "facet VERB: message" on stderr, in one line.
void PrintError(const std::string& verb, const absl::Status& status);

// An app that explains itself: what the verb does, then `examples`, one a line.
std::unique_ptr<CLI::App> MakeApp(const std::string& verb,
                                  const std::string& description,
                                  const std::string& examples);

// `--config FILE`: flags by their long names, a line each, as TOML has it
// (`kv-memory = "2G"`). The command line wins; an unknown name is an error.
void AddConfigFlag(CLI::App* app);

// Parses the command line into `app`'s options and runs `body`. Errors of both
// go to stderr as one line. Returns the exit code.
int RunVerb(CLI::App* app, int argc, char** argv,
            const std::function<absl::Status()>& body);

}  // namespace facet

#endif  // FACET_RPC_CLI_VERB_H_
