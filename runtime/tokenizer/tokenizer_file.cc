#include "runtime/tokenizer/tokenizer_file.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "simdjson.h"

namespace facet {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// JSON as it stands in the file, cut to fit in a message.
std::string Excerpt(const element& value) {
  std::string text = simdjson::minify(value);
  if (text.size() > 80) text = absl::StrCat(text.substr(0, 77), "...");
  return text;
}

absl::Status Refuse(absl::string_view field, absl::string_view expected,
                    absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(
      "tokenizer.json: ", field, ": expected ", expected, ", found ", found));
}

absl::Status Refuse(absl::string_view field, absl::string_view expected,
                    const element& found) {
  return Refuse(field, expected, Excerpt(found));
}

// The member `name`; none when it is missing or null.
std::optional<element> Member(const element& parent, const char* name) {
  element value;
  if (parent[name].get(value) != simdjson::SUCCESS || value.is_null()) {
    return std::nullopt;
  }
  return value;
}

bool IsString(const std::optional<element>& value, absl::string_view text) {
  std::string_view found;
  return value.has_value() && value->get(found) == simdjson::SUCCESS &&
         View(found) == text;
}

bool IsBool(const std::optional<element>& value, bool expected) {
  bool found;
  return value.has_value() && value->get(found) == simdjson::SUCCESS &&
         found == expected;
}

bool HasType(const element& component, absl::string_view type) {
  return IsString(Member(component, "type"), type);
}

// {"pattern": {"String": `text`}}
bool HasPattern(const element& component, absl::string_view text) {
  const std::optional<element> pattern = Member(component, "pattern");
  return pattern.has_value() && IsString(Member(*pattern, "String"), text);
}

bool IsReplace(const element& component, absl::string_view from,
               absl::string_view to) {
  return HasType(component, "Replace") && HasPattern(component, from) &&
         IsString(Member(component, "content"), to);
}

// The list `name` of a component of type Sequence, or the component alone.
std::vector<element> Steps(const element& component, const char* name) {
  std::vector<element> steps;
  array list;
  if (!HasType(component, "Sequence")) {
    steps.push_back(component);
  } else if (component[name].get(list) == simdjson::SUCCESS) {
    for (element step : list) steps.push_back(step);
  }
  return steps;
}

absl::Status CheckNormalizer(const element& root) {
  constexpr char kExpected[] =
      "a Replace of \" \" by \"\xE2\x96\x81\" (the only normalizer supported)";
  const std::optional<element> normalizer = Member(root, "normalizer");
  if (!normalizer) return Refuse("normalizer", kExpected, "none");
  const std::vector<element> steps = Steps(*normalizer, "normalizers");
  if (steps.size() != 1 || !IsReplace(steps[0], " ", "\xE2\x96\x81")) {
    return Refuse("normalizer", kExpected, *normalizer);
  }
  return absl::OkStatus();
}

// A split at spaces never happens: the normalizer leaves none.
absl::Status CheckPreTokenizer(const element& root) {
  const std::optional<element> found = Member(root, "pre_tokenizer");
  if (!found || (HasType(*found, "Split") && HasPattern(*found, " ") &&
                 !IsBool(Member(*found, "invert"), true))) {
    return absl::OkStatus();
  }
  return Refuse("pre_tokenizer", "none or a Split at \" \"", *found);
}

absl::Status CheckDecoder(const element& root) {
  constexpr char kExpected[] =
      "a Sequence of Replace \"\xE2\x96\x81\" by \" \", ByteFallback and Fuse";
  const std::optional<element> decoder = Member(root, "decoder");
  if (!decoder) return Refuse("decoder", kExpected, "none");
  const std::vector<element> steps = Steps(*decoder, "decoders");
  const bool supported =
      (steps.size() == 2 || (steps.size() == 3 && HasType(steps[2], "Fuse"))) &&
      IsReplace(steps[0], "\xE2\x96\x81", " ") &&
      HasType(steps[1], "ByteFallback");
  if (!supported) return Refuse("decoder", kExpected, *decoder);
  return absl::OkStatus();
}

absl::Status CheckModelOptions(const element& model) {
  if (!HasType(model, "BPE")) {
    const std::optional<element> type = Member(model, "type");
    return Refuse("model.type", "\"BPE\"", type ? Excerpt(*type) : "none");
  }
  if (!IsBool(Member(model, "byte_fallback"), true)) {
    return Refuse("model.byte_fallback", "true", "something else");
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::optional<element> value = Member(model, name);
    if (value && !IsString(value, "")) {
      return Refuse(absl::StrCat("model.", name), "null", *value);
    }
  }
  if (const std::optional<element> dropout = Member(model, "dropout")) {
    double probability;
    if (dropout->get(probability) != simdjson::SUCCESS || probability != 0) {
      return Refuse("model.dropout", "null", *dropout);
    }
  }
  const std::optional<element> ignore = Member(model, "ignore_merges");
  if (ignore && !IsBool(ignore, false)) {
    return Refuse("model.ignore_merges", "false", *ignore);
  }
  return absl::OkStatus();
}

// Spellings by id, from model.vocab and added_tokens.
class SpellingList {
 public:
  absl::Status Add(absl::string_view field, int64_t id,
                   absl::string_view spelling) {
    if (id < 0 || id > kMaxId) {
      return Refuse(field, absl::StrCat("an id from 0 to ", kMaxId),
                    absl::StrCat(id));
    }
    if (spelling.empty()) {
      return Refuse(field, "a token of at least one character", "\"\"");
    }
    if (static_cast<size_t>(id) >= spellings_.size()) {
      spellings_.resize(id + 1);
    }
    absl::string_view& place = spellings_[id];
    if (!place.empty() && place != spelling) {
      return Refuse(field, absl::StrCat("one token of id ", id),
                    absl::StrCat("\"", place, "\" and \"", spelling, "\""));
    }
    place = spelling;
    return absl::OkStatus();
  }

  absl::Span<const absl::string_view> get() const { return spellings_; }

 private:
  std::vector<absl::string_view> spellings_;
};

absl::Status ReadVocabulary(const element& model, SpellingList* spellings) {
  object vocab;
  if (model["vocab"].get(vocab) != simdjson::SUCCESS) {
    return Refuse("model.vocab", "an object of token: id", "none");
  }
  for (const auto& [spelling, value] : vocab) {
    int64_t id;
    if (value.get(id) != simdjson::SUCCESS) {
      return Refuse(absl::StrCat("model.vocab[\"", View(spelling), "\"]"),
                    "an integer", value);
    }
    FACET_RETURN_IF_ERROR(spellings->Add("model.vocab", id, View(spelling)));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const element& root, SpellingList* spellings,
                             std::vector<AddedToken>* tokens) {
  const std::optional<element> list = Member(root, "added_tokens");
  if (!list) return absl::OkStatus();
  array entries;
  if (list->get(entries) != simdjson::SUCCESS) {
    return Refuse("added_tokens", "a list", *list);
  }
  int index = 0;
  for (const element entry : entries) {
    const std::string field = absl::StrCat("added_tokens[", index++, "]");
    std::string_view content;
    int64_t id;
    if (entry["content"].get(content) != simdjson::SUCCESS ||
        entry["id"].get(id) != simdjson::SUCCESS) {
      return Refuse(field, "an id and a content", entry);
    }
    for (const char* name : {"single_word", "lstrip", "rstrip"}) {
      const std::optional<element> value = Member(entry, name);
      if (value && !IsBool(value, false)) {
        return Refuse(absl::StrCat(field, ".", name), "false", *value);
      }
    }
    FACET_RETURN_IF_ERROR(spellings->Add(field, id, View(content)));
    tokens->push_back({static_cast<int32_t>(id),
                       IsBool(Member(entry, "special"), true),
                       IsBool(Member(entry, "normalized"), true)});
    // Normalizing changes these, and then they match more than themselves.
    if (tokens->back().normalized &&
        (content.find(' ') != content.npos ||
         content.find("\xE2\x96\x81") != content.npos)) {
      return Refuse(absl::StrCat(field, ".normalized"),
                    "false for a token with spaces", entry);
    }
  }
  return absl::OkStatus();
}

// The ids that each spelling occurs under must be one, or Find() would lie.
absl::Status CheckSpellingsAreUnique(absl::Span<const absl::string_view> all) {
  absl::flat_hash_map<absl::string_view, size_t> seen;
  seen.reserve(all.size());
  for (size_t id = 0; id < all.size(); ++id) {
    if (all[id].empty()) continue;
    const auto [other, added] = seen.try_emplace(all[id], id);
    if (!added) {
      return Refuse("model.vocab", absl::StrCat("one id for \"", all[id], "\""),
                    absl::StrCat(other->second, " and ", id));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckByteTokens(const Vocabulary& vocabulary) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    const char spelling[] = {
        '<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>', 0};
    if (vocabulary.Find(spelling) < 0) {
      return Refuse("model.vocab",
                    absl::StrCat("all 256 byte tokens (byte_fallback)"),
                    absl::StrCat("no ", spelling));
    }
  }
  return absl::OkStatus();
}

// The two sides of a merge: ["a", "b"], or "a b" in older files.
bool MergeSides(const element& merge, absl::string_view* left,
                absl::string_view* right) {
  std::string_view text;
  if (merge.get(text) == simdjson::SUCCESS) {
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      return false;
    }
    *left = View(text.substr(0, space));
    *right = View(text.substr(space + 1));
    return true;
  }
  array sides;
  std::string_view a, b;
  if (merge.get(sides) != simdjson::SUCCESS || sides.size() != 2 ||
      sides.at(0).get(a) != simdjson::SUCCESS ||
      sides.at(1).get(b) != simdjson::SUCCESS) {
    return false;
  }
  *left = View(a);
  *right = View(b);
  return true;
}

absl::StatusOr<std::vector<Merge>> ReadMerges(
    const element& model, const Vocabulary& vocabulary,
    const std::vector<AddedToken>& added_tokens) {
  array list;
  if (model["merges"].get(list) != simdjson::SUCCESS) {
    return Refuse("model.merges", "a list", "none");
  }
  std::vector<bool> special(vocabulary.size(), false);
  for (const AddedToken& token : added_tokens) {
    special[token.id] = token.special;
  }
  std::vector<Merge> merges;
  merges.reserve(list.size());  // counts no further than 2^24, which is enough
  std::string joined;
  uint32_t rank = 0;
  for (const element entry : list) {
    absl::string_view left, right;
    const auto field = [rank] {
      return absl::StrCat("model.merges[", rank, "]");
    };
    if (!MergeSides(entry, &left, &right)) {
      return Refuse(field(), "two tokens", entry);
    }
    joined.assign(left.data(), left.size());
    joined.append(right.data(), right.size());
    const Merge merge = {vocabulary.Find(left), vocabulary.Find(right),
                         vocabulary.Find(joined), rank};
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0) {
      return Refuse(field(), "tokens of model.vocab that join to another",
                    entry);
    }
    // The characters of a special token never become it by merging: they reach
    // here only as plain text.
    if (!special[merge.merged]) merges.push_back(merge);
    ++rank;
  }
  return merges;
}

// Puts the ids that a special token of the post-processor stands for into
// `ids`.
absl::Status ReadTemplateToken(const element& processor, const element& token,
                               const Vocabulary& vocabulary,
                               std::vector<int32_t>* ids) {
  constexpr char kField[] = "post_processor.special_tokens";
  std::string_view name;
  array list;
  if (token["id"].get(name) != simdjson::SUCCESS ||
      processor["special_tokens"][name]["ids"].get(list) != simdjson::SUCCESS) {
    return Refuse(kField, "ids for the token of the template", token);
  }
  for (const element value : list) {
    int64_t id;
    if (value.get(id) != simdjson::SUCCESS || id < 0 ||
        id >= vocabulary.size()) {
      return Refuse(kField, "ids of the vocabulary", value);
    }
    ids->push_back(static_cast<int32_t>(id));
  }
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const element& root, TokenizerFile* file) {
  const std::optional<element> processor = Member(root, "post_processor");
  if (!processor) return absl::OkStatus();
  array single;
  if (!HasType(*processor, "TemplateProcessing") ||
      (*processor)["single"].get(single) != simdjson::SUCCESS) {
    return Refuse("post_processor", "none or a TemplateProcessing", *processor);
  }
  int sequences = 0;
  for (const element item : single) {
    element inner;
    if (item["SpecialToken"].get(inner) == simdjson::SUCCESS) {
      FACET_RETURN_IF_ERROR(
          ReadTemplateToken(*processor, inner, file->vocabulary,
                            sequences == 0 ? &file->prefix : &file->suffix));
    } else if (item["Sequence"].get(inner) == simdjson::SUCCESS &&
               IsString(Member(inner, "id"), "A")) {
      ++sequences;
    } else {
      return Refuse("post_processor.single", "special tokens and sequence A",
                    item);
    }
  }
  if (sequences != 1) {
    return Refuse("post_processor.single", "sequence A once",
                  absl::StrCat(sequences, " times"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerFile> ParseTokenizerFile(absl::string_view json) {
  if (json.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: ", json.size(), " bytes; at most ",
                     kMaxFileBytes, " are read"));
  }
  simdjson::dom::parser parser;
  element root;
  if (const simdjson::error_code error =
          parser.parse(json.data(), json.size()).get(root)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer.json: not valid JSON: ", simdjson::error_message(error)));
  }
  if (!root.is_object()) {
    return absl::InvalidArgumentError(
        "tokenizer.json: expected an object at the top");
  }
  // "truncation" and "padding" are settings of a caller, not of the tokenizer:
  // the reference overrides them in every call.
  FACET_RETURN_IF_ERROR(CheckNormalizer(root));
  FACET_RETURN_IF_ERROR(CheckPreTokenizer(root));
  FACET_RETURN_IF_ERROR(CheckDecoder(root));
  const std::optional<element> model = Member(root, "model");
  if (!model) return Refuse("model", "an object", "none");
  FACET_RETURN_IF_ERROR(CheckModelOptions(*model));

  TokenizerFile file;
  SpellingList spellings;
  FACET_RETURN_IF_ERROR(ReadVocabulary(*model, &spellings));
  FACET_RETURN_IF_ERROR(ReadAddedTokens(root, &spellings, &file.added_tokens));
  FACET_RETURN_IF_ERROR(CheckSpellingsAreUnique(spellings.get()));
  file.vocabulary = Vocabulary(spellings.get());
  FACET_RETURN_IF_ERROR(CheckByteTokens(file.vocabulary));
  FACET_ASSIGN_OR_RETURN(
      file.merges, ReadMerges(*model, file.vocabulary, file.added_tokens));
  FACET_RETURN_IF_ERROR(ReadPostProcessor(root, &file));
  return file;
}

}  // namespace facet
