#include "runtime/grammar/json_string.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/json_formats.h"
#include "runtime/grammar/regex.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

// Longer names are told apart by their beginnings.
constexpr size_t kMaxComparedCharacters = 100;

}  // namespace

absl::StatusOr<Expr> JsonStrings::String(const JsonConstraints& constraints) {
  const CountRange& length = constraints.length;
  if (length.max.has_value() && *length.max < length.min) {
    return builder_.Never();
  }
  std::optional<std::string> pattern;
  const JsonValue* where = nullptr;
  const auto add = [&](std::string text,
                       const JsonValue& keyword) -> absl::Status {
    if (pattern.has_value() && *pattern != text) {
      return absl::InvalidArgumentError(
          absl::StrCat(PointerTo(keyword), ": not supported together with ",
                       PointerTo(*where)));
    }
    pattern = std::move(text);
    where = &keyword;
    return absl::OkStatus();
  };
  for (const JsonValue* keyword : constraints.patterns) {
    FACET_RETURN_IF_ERROR(add(keyword->text, *keyword));
  }
  for (const JsonValue* keyword : constraints.formats) {
    FACET_RETURN_IF_ERROR(add(*PatternOfFormat(keyword->text), *keyword));
  }
  if (pattern.has_value()) return Matching(*pattern, *where, length);
  if (length.min == 0 && !length.max.has_value()) return json_.String();
  const int32_t max =
      length.max.has_value() ? static_cast<int32_t>(*length.max) : kUnbounded;
  return builder_.Concat(
      {json_.Quote(),
       builder_.Repeat(json_.AnyCharacter(), static_cast<int32_t>(length.min),
                       max),
       json_.Quote()});
}

absl::StatusOr<Expr> JsonStrings::Matching(absl::string_view pattern,
                                           const JsonValue& where,
                                           const CountRange& length) {
  RegexStyle style;
  style.encode = [this](const CodePoints& set) { return json_.Character(set); };
  // What any standard calls a line end.
  style.not_dot = {{'\n', '\n'}, {'\r', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}};
  const absl::StatusOr<ParsedRegex> parsed =
      ParseRegex(pattern, style, &builder_);
  if (!parsed.ok()) return Annotate(parsed.status(), PointerTo(where));
  const Expr any = builder_.Repeat(json_.AnyCharacter(), 0, kUnbounded);
  int64_t max_length = parsed->max_length;
  std::vector<Expr> ways;
  for (const RegexBranch& branch : parsed->branches) {
    if (!branch.at_begin || !branch.at_end) max_length = kUnbounded;
    ways.push_back(
        builder_.Concat({branch.at_begin ? builder_.Empty() : any, branch.expr,
                         branch.at_end ? builder_.Empty() : any}));
  }
  if (parsed->min_length < length.min ||
      max_length > length.max.value_or(kUnbounded)) {
    return absl::InvalidArgumentError(absl::StrCat(
        PointerTo(where),
        ": minLength and maxLength are supported beside a pattern or format "
        "only where that implies them; its matches have ",
        parsed->min_length, " to ",
        max_length == kUnbounded ? "any number of" : absl::StrCat(max_length),
        " characters (write counts into the pattern, anchored by ^ and $)"));
  }
  return builder_.Concat(
      {json_.Quote(), builder_.Either(std::move(ways)), json_.Quote()});
}

Expr JsonStrings::Except(std::vector<std::string> names) {
  std::vector<std::u32string> characters;
  for (const std::string& name : names) {
    std::u32string& decoded = characters.emplace_back();
    for (absl::string_view rest = name; !rest.empty();) {
      const CodePoint next = FirstCodePoint(rest);
      rest.remove_prefix(std::max(next.bytes, 1));
      decoded.push_back(next.value);
      if (decoded.size() == kMaxComparedCharacters) break;
    }
  }
  std::sort(characters.begin(), characters.end());
  characters.erase(std::unique(characters.begin(), characters.end()),
                   characters.end());
  if (json_.syntax() == ValueSyntax::kCall) {
    return ExceptFrom(characters, 0, BareKeyCharacters(), builder_.Empty());
  }
  return builder_.Concat(
      {json_.Quote(),
       ExceptFrom(characters, 0, json_.PlainCharacters(), json_.Quote())});
}

// The rest of a string whose first `depth` characters are those of all `names`
// (sorted). Escapes are not used before the string differs from every name, so
// that none can be spelled in another way.
Expr JsonStrings::ExceptFrom(absl::Span<const std::u32string> names,
                             size_t depth, const CodePoints& characters,
                             Expr end) {
  std::vector<Expr> ways;
  // A key in a call is not empty.
  const bool may_end = depth > 0 || json_.syntax() == ValueSyntax::kJson;
  if (names[0].size() > depth && may_end) ways.push_back(end);
  CodePoints taken;
  if (names[0].size() == depth) {
    names.remove_prefix(1);
    // A name that was cut off: nothing that begins like it is written.
    if (depth == kMaxComparedCharacters) return builder_.Never();
  }
  while (!names.empty()) {
    const char32_t next = names[0][depth];
    size_t count = 1;
    while (count < names.size() && names[count][depth] == next) ++count;
    taken.push_back({next, next});
    ways.push_back(builder_.Concat(
        {builder_.Class(Intersection({{next, next}}, characters)),
         ExceptFrom(names.first(count), depth + 1, characters, end)}));
    names.remove_prefix(count);
  }
  const CodePoints others =
      Intersection(Complement(std::move(taken)), characters);
  const Expr rest =
      json_.syntax() == ValueSyntax::kJson
          ? json_.RestOfString()
          : builder_.Repeat(builder_.Class(characters), 0, kUnbounded);
  ways.push_back(builder_.Concat({builder_.Class(others), rest}));
  return builder_.Either(std::move(ways));
}

}  // namespace facet
