// What a tokenizer.json says, checked: every component is one that Facet
// implements, and every id and name in it leads somewhere.
#ifndef FACET_RUNTIME_TOKENIZER_TOKENIZER_FILE_H_
#define FACET_RUNTIME_TOKENIZER_TOKENIZER_FILE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/vocabulary.h"

namespace facet {

struct AddedToken {
  int32_t id = 0;
  bool special = false;
  // Searched for in text that the tokens with `normalized` = false left over.
  bool normalized = false;
};

struct TokenizerFile {
  Vocabulary vocabulary;  // added tokens included
  std::vector<Merge> merges;
  std::vector<AddedToken> added_tokens;
  // What the post-processor puts around a text.
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

// Errors: INVALID_ARGUMENT when `json` is not JSON, is larger than 256 MiB, or
// holds what Facet does not implement; the message names the field, what is
// expected there and what was found.
absl::StatusOr<TokenizerFile> ParseTokenizerFile(absl::string_view json);

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_TOKENIZER_FILE_H_
