#include "runtime/tokenizer/tokenizer.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/token_finder.h"
#include "runtime/tokenizer/tokenizer_file.h"
#include "runtime/tokenizer/utf8.h"
#include "runtime/tokenizer/vocabulary.h"

namespace facet {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr off_t kMaxFileBytes = off_t{256} << 20;
constexpr absl::string_view kSpaceMark = "\xE2\x96\x81";
constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

// A run of byte tokens as text, appended to `text`.
void AppendBytes(absl::string_view bytes, std::string* text) {
  if (ValidUtf8Prefix(bytes) == bytes.size()) {
    text->append(bytes.data(), bytes.size());
    return;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    text->append(kReplacement.data(), kReplacement.size());
  }
}

// The spelling of a token with its space marks as spaces.
void AppendSpelling(absl::string_view spelling, std::string* text) {
  for (size_t mark; (mark = spelling.find(kSpaceMark)) != spelling.npos;) {
    text->append(spelling.data(), mark);
    text->push_back(' ');
    spelling.remove_prefix(mark + kSpaceMark.size());
  }
  text->append(spelling.data(), spelling.size());
}

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerFile file)
      : vocabulary_(std::move(file.vocabulary)),
        bpe_(vocabulary_, file.merges),
        prefix_(std::move(file.prefix)),
        suffix_(std::move(file.suffix)),
        special_(vocabulary_.size(), false) {
    for (const AddedToken& token : file.added_tokens) {
      special_[token.id] = token.special;
      (token.normalized ? normalized_ : added_)
          .Add(vocabulary_.Spelling(token.id), token.id);
    }
  }

  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text, const EncodeOptions& options) const override;
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids,
                                     bool skip_special) const override;

  int64_t vocab_size() const override { return vocabulary_.size(); }
  bool is_special(int32_t id) const override {
    return id >= 0 && id < vocab_size() && special_[id];
  }
  std::optional<int32_t> TokenId(absl::string_view token) const override {
    const int32_t id = vocabulary_.Find(token);
    if (id < 0) return std::nullopt;
    return id;
  }
  absl::string_view TokenText(int32_t id) const override {
    return vocabulary_.Spelling(id);
  }

 private:
  // Splits text[begin, end) at the tokens of `finder`: calls between(begin,
  // end) for what stands between them and appends their ids.
  template <typename Between>
  void SplitAt(const TokenFinder& finder, absl::string_view text, size_t begin,
               size_t end, const EncodeOptions& options,
               std::vector<int32_t>* ids, Between between) const;

  Vocabulary vocabulary_;
  Bpe bpe_;
  TokenFinder added_, normalized_;
  std::vector<int32_t> prefix_, suffix_;
  std::vector<bool> special_;
};

template <typename Between>
void BpeTokenizer::SplitAt(const TokenFinder& finder, absl::string_view text,
                           size_t begin, size_t end,
                           const EncodeOptions& options,
                           std::vector<int32_t>* ids, Between between) const {
  const absl::string_view head = text.substr(0, end);
  // The first plain range that ends behind the current place.
  const TextRange* range = std::partition_point(
      options.plain.begin(), options.plain.end(),
      [begin](const TextRange& r) { return r.end <= begin; });
  size_t done = begin;
  for (size_t at = begin; at < end;) {
    if (!finder.StartsWith(text[at])) {
      ++at;
      continue;
    }
    while (range != options.plain.end() && range->end <= at) ++range;
    int32_t id = -1;
    size_t length = 0;
    finder.ForEachAt(head, at, [&](int32_t token, size_t token_length) {
      const bool plain =
          range != options.plain.end() && range->begin < at + token_length;
      if (special_[token] && (plain || !options.parse_special)) return;
      id = token;
      length = token_length;
    });
    if (id < 0) {
      ++at;
      continue;
    }
    if (done < at) between(done, at);
    ids->push_back(id);
    at += length;
    done = at;
  }
  if (done < end) between(done, end);
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::Encode(
    absl::string_view text, const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("text of ", text.size(), " bytes; at most ", kMaxTextBytes,
                     " can be encoded at once"));
  }
  const size_t valid = ValidUtf8Prefix(text);
  if (valid != text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("text is not valid UTF-8 at byte ", valid));
  }
  std::vector<int32_t> ids;
  if (options.add_special) ids = prefix_;
  SplitAt(added_, text, 0, text.size(), options, &ids,
          [&](size_t begin, size_t end) {
            SplitAt(normalized_, text, begin, end, options, &ids,
                    [&](size_t from, size_t to) {
                      bpe_.Encode(text.substr(from, to - from), &ids);
                    });
          });
  if (options.add_special) {
    ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  }
  return ids;
}

absl::StatusOr<std::string> BpeTokenizer::Decode(absl::Span<const int32_t> ids,
                                                 bool skip_special) const {
  std::string text, bytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t id = ids[i];
    if (id < 0 || id >= vocab_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("token id ", id, " at position ", i,
                       " is outside the vocabulary of ", vocab_size()));
    }
    const absl::string_view spelling = vocabulary_.Spelling(id);
    if (spelling.empty() || (skip_special && special_[id])) continue;
    const int byte = ByteOfSpelling(spelling);
    if (byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    AppendBytes(bytes, &text);
    bytes.clear();
    AppendSpelling(spelling, &text);
  }
  AppendBytes(bytes, &text);
  return text;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const std::string message = absl::StrCat(path, ": ", std::strerror(errno));
    return errno == ENOENT || errno == ENOTDIR
               ? absl::NotFoundError(message)
               : absl::InvalidArgumentError(message);
  }
  struct stat about;
  std::string text;
  absl::Status status;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    status = absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  } else if (about.st_size > kMaxFileBytes) {
    status = absl::InvalidArgumentError(
        absl::StrCat(path, ": ", about.st_size, " bytes; at most ",
                     kMaxFileBytes, " are read"));
  } else {
    text.resize(about.st_size);
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = read(file, &text[done], text.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      done += count;
    }
    if (done < text.size()) {
      status = absl::InvalidArgumentError(
          absl::StrCat(path, ": read ", done, " of ", text.size(), " bytes"));
    }
  }
  close(file);
  if (!status.ok()) return status;
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    const std::string& directory) {
  FACET_ASSIGN_OR_RETURN(const std::string json,
                         ReadFile(absl::StrCat(directory, "/tokenizer.json")));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Parse(json);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), directory);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(
    absl::string_view json) {
  std::unique_ptr<Tokenizer> tokenizer;
  {
    FACET_ASSIGN_OR_RETURN(TokenizerFile file, ParseTokenizerFile(json));
    tokenizer = std::make_unique<BpeTokenizer>(std::move(file));
  }
  // Parsing took several times what the tokenizer keeps; hand the rest back to
  // the system.
  malloc_trim(0);
  return tokenizer;
}

std::string TokenBytes(const Tokenizer& tokenizer, int32_t id) {
  const absl::string_view spelling = tokenizer.TokenText(id);
  const int byte = ByteOfSpelling(spelling);
  if (byte >= 0) return std::string(1, static_cast<char>(byte));
  std::string bytes;
  AppendSpelling(spelling, &bytes);
  return bytes;
}

StreamDecoder::StreamDecoder(const Tokenizer* tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {}

std::string StreamDecoder::Push(int32_t id) {
  FACET_CHECK(id >= 0 && id < tokenizer_->vocab_size());
  const absl::string_view spelling = tokenizer_->TokenText(id);
  if (spelling.empty() || (skip_special_ && tokenizer_->is_special(id))) {
    return "";
  }
  pending_.push_back(id);
  return ByteOfSpelling(spelling) >= 0 ? "" : Finish();
}

std::string StreamDecoder::Finish() {
  const absl::StatusOr<std::string> text =
      tokenizer_->Decode(pending_, skip_special_);
  FACET_CHECK(text.ok());
  pending_.clear();
  return *text;
}

}  // namespace facet
