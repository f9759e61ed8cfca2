// Gemma's BPE tokenizer, read from a Hugging Face tokenizer.json: text to token
// ids and back. Knows nothing of chat formats.
#ifndef FACET_RUNTIME_TOKENIZER_TOKENIZER_H_
#define FACET_RUNTIME_TOKENIZER_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace facet {

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

struct EncodeOptions {
  // Special tokens written out in the text become their ids; off for text of
  // users, where "<bos>" is five characters.
  bool parse_special = true;
  // Runs the file's post-processor, which may add <bos>.
  bool add_special = false;
  // Parts of the text that came from users, sorted and disjoint: no special
  // token is recognised that overlaps one of them. Merging runs on across their
  // borders, as if they were not there.
  absl::Span<const TextRange> plain = {};
};

// Immutable after Load(), so threads may share one.
class Tokenizer {
 public:
  // Errors:
  //   NOT_FOUND         no tokenizer.json in `directory`
  //   INVALID_ARGUMENT  not JSON, or a component this tokenizer does not
  //                     implement; the message names the field
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      const std::string& directory);
  // The same from the file's text.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(
      absl::string_view json);
  virtual ~Tokenizer() = default;

  // Linear in the length of `text` up to a logarithm.
  //
  // Errors: INVALID_ARGUMENT when `text` is not valid UTF-8, naming the byte
  // offset, or is longer than 1 GiB.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text, const EncodeOptions& options) const = 0;

  // Runs of byte tokens that are not valid UTF-8 become one U+FFFD per byte, as
  // the reference does. Errors: INVALID_ARGUMENT for an id outside the
  // vocabulary.
  virtual absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids,
                                             bool skip_special) const = 0;

  virtual int64_t vocab_size() const = 0;  // highest id + 1
  virtual bool is_special(int32_t id) const = 0;

  // The id of a token spelled exactly `token`, e.g. "<|turn>".
  virtual std::optional<int32_t> TokenId(absl::string_view token) const = 0;
  // The raw spelling of a token; empty when the id is out of range.
  virtual absl::string_view TokenText(int32_t id) const = 0;
};

// The bytes that a token stands for inside a text: its spelling with spaces for
// space marks, or the one byte of a byte token. Empty when `id` is out of range.
std::string TokenBytes(const Tokenizer& tokenizer, int32_t id);

// Decodes a growing sequence. The concatenation of all pieces equals Decode()
// of all ids, and no piece ends inside a character. A run of byte tokens is
// held until it ends, because one more byte may still turn all of it into
// U+FFFD.
class StreamDecoder {
 public:
  // `tokenizer` outlives the decoder.
  StreamDecoder(const Tokenizer* tokenizer, bool skip_special);

  // The text that became certain with this token; empty inside a run of byte
  // tokens. REQUIRES: 0 <= id < vocab_size().
  std::string Push(int32_t id);

  // What is still held back.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<int32_t> pending_;  // the run of byte tokens at the end
};

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_TOKENIZER_H_
