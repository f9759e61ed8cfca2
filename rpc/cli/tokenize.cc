// `facet tokenize`: text to token ids and back.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "rpc/cli/input_files.h"
#include "rpc/cli/verb.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

struct TokenizeFlags {
  std::string model;
  bool decode = false;
  bool skip_special = false;
  bool add_special = false;
  bool plain = false;
};

absl::Status Tokenize(const TokenizeFlags& flags) {
  FACET_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(flags.model));
  FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput("-"));
  FACET_ASSIGN_OR_RETURN(const nlohmann::json input, ParseJson(text, "stdin"));
  if (!input.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat("stdin: expected a JSON array of ",
                     flags.decode ? "arrays of token ids" : "strings"));
  }
  nlohmann::json output = nlohmann::json::array();
  for (const nlohmann::json& one : input) {
    const std::string name = absl::StrCat("stdin[", output.size(), "]");
    if (flags.decode) {
      FACET_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                             ParseIds(one, name));
      const absl::StatusOr<std::string> decoded =
          tokenizer->Decode(ids, flags.skip_special);
      if (!decoded.ok()) return Annotate(decoded.status(), name);
      output.push_back(*decoded);
      continue;
    }
    if (!one.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": expected a string, found ", one.type_name()));
    }
    EncodeOptions options;
    options.parse_special = !flags.plain;
    options.add_special = flags.add_special;
    const absl::StatusOr<std::vector<int32_t>> ids =
        tokenizer->Encode(one.get<std::string>(), options);
    if (!ids.ok()) return Annotate(ids.status(), name);
    output.push_back(*ids);
  }
  std::printf(
      "%s\n",
      output.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
          .c_str());
  return absl::OkStatus();
}

}  // namespace

int RunTokenize(int argc, char** argv) {
  TokenizeFlags flags;
  const auto app = MakeApp(
      "tokenize",
      "Reads a JSON array of strings from stdin and writes the array of their "
      "token\nids; with --decode the other way round.",
      "  echo '[\"Hello world\"]' | facet tokenize --model DIR\n"
      "  echo '[[2, 9259]]' | facet tokenize --model DIR --decode\n");
  app->add_option("--model", flags.model, "Directory with a tokenizer.json")
      ->required();
  app->add_flag("--decode", flags.decode, "Token ids to text");
  app->add_flag("--skip-special", flags.skip_special,
                "With --decode, leave special tokens out");
  app->add_flag("--add-special", flags.add_special,
                "Run the file's post-processor, which may add <bos>");
  app->add_flag("--plain", flags.plain,
                "Special tokens written out in the text are plain text");
  return RunVerb(app.get(), argc, argv, [&] { return Tokenize(flags); });
}

}  // namespace facet
