#include "rpc/cli/verb.h"

#include <cstdio>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr size_t kMaxMessage = 1000;

// What a message quotes from an input may be long, of many lines, or not UTF-8.
std::string OneLine(absl::string_view text) {
  std::string line = absl::StrReplaceAll(text.substr(0, kMaxMessage),
                                         {{"\r", ""}, {"\n", " "}});
  for (size_t at = 0;
       (at += ValidUtf8Prefix(absl::string_view(line).substr(at))) <
       line.size();
       ++at) {
    line[at] = '?';
  }
  return line;
}

// CLI11 takes "--flag=" for a flag whose value is missing.
const char* EmptyValue(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (absl::StartsWith(argument, "--") && absl::EndsWith(argument, "=") &&
        argument.find('=') + 1 == argument.size()) {
      return argv[i];
    }
  }
  return nullptr;
}

// CLI11's words for an unknown name speak of INI, whatever the file is.
std::string FlagInFile(absl::string_view what) {
  return absl::ConsumePrefix(&what, "INI was not able to parse ")
             ? absl::StrCat(what, " is no flag of this verb")
             : std::string(what);
}

}  // namespace

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitDone;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return kExitBadInput;
    default:
      return kExitFailed;
  }
}

void PrintError(const std::string& verb, const absl::Status& status) {
  const std::string message = status.message().empty()
                                  ? absl::StatusCodeToString(status.code())
                                  : OneLine(status.message());
  std::fprintf(stderr, "facet %s: %s\n", verb.c_str(), message.c_str());
}

std::unique_ptr<CLI::App> MakeApp(const std::string& verb,
                                  const std::string& description,
                                  const std::string& examples) {
  auto app =
      std::make_unique<CLI::App>(description, absl::StrCat("facet ", verb));
  app->footer(absl::StrCat("Examples:\n", examples));
  app->get_formatter()->column_width(30);
  return app;
}

void AddConfigFlag(CLI::App* app) {
  app->set_config("--config", "",
                  "File of flags, e.g. a line tp = 2; the command line wins");
  app->allow_config_extras(false);
}

int RunVerb(CLI::App* app, int argc, char** argv,
            const std::function<absl::Status()>& body) {
  const std::string verb = argv[0];
  if (const char* flag = EmptyValue(argc, argv)) {
    PrintError(verb, absl::InvalidArgumentError(
                         absl::StrCat(flag, " is empty, give a value")));
    return kExitBadInput;
  }
  try {
    app->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app->help();
    return kExitDone;
  } catch (const CLI::ConfigError& error) {
    PrintError(verb, absl::InvalidArgumentError(
                         absl::StrCat("--config: ", FlagInFile(error.what()))));
    return kExitBadInput;
  } catch (const CLI::ParseError& error) {
    const std::string what = OneLine(error.what());
    std::fprintf(stderr, "facet %s: %s (try: facet %s --help)\n", verb.c_str(),
                 what.c_str(), verb.c_str());
    return kExitBadInput;
  }
  absl::Status status;
  try {
    status = body();
  } catch (const std::exception& error) {
    // Nothing of ours throws; memory may run out.
    status = absl::InternalError(error.what());
  }
  if (!status.ok()) PrintError(verb, status);
  return ExitCode(status);
}

}  // namespace facet
