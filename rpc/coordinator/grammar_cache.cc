#include "rpc/coordinator/grammar_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

absl::StatusOr<GrammarPtr> Compile(const OutputFormat& format) {
  const GrammarLimits limits;
  switch (format.kind) {
    case OutputKind::kFree:
      return nullptr;
    case OutputKind::kJsonObject:
      return CompileJsonObject(limits);
    case OutputKind::kJsonSchema:
      return CompileJsonSchema(format.text, limits);
    case OutputKind::kRegex:
      return CompileRegex(format.text, limits);
    case OutputKind::kGrammar:
      return CompileEbnf(format.text, limits);
    case OutputKind::kChoice:
      return CompileChoice(format.choices, limits);
    case OutputKind::kToolCalls:
      return CompileToolCalls(format.tools, format.calls, limits);
  }
  return absl::InternalError("an output format of no kind");
}

const char* Field(OutputKind kind) {
  switch (kind) {
    case OutputKind::kFree:
    case OutputKind::kJsonObject:
      return "json_object";
    case OutputKind::kJsonSchema:
      return "json_schema";
    case OutputKind::kRegex:
      return "regex";
    case OutputKind::kGrammar:
      return "grammar";
    case OutputKind::kChoice:
      return "choices";
    case OutputKind::kToolCalls:
      return "";  // errors name their place
  }
  return "format";
}

// Differs for any two formats.
std::string KeyOf(const OutputFormat& format) {
  std::string key = absl::StrCat(static_cast<int>(format.kind), ":");
  for (const std::string& choice : format.choices) {
    absl::StrAppend(&key, choice.size(), ":", choice);
  }
  const ToolCallOptions& calls = format.calls;
  absl::StrAppend(&key, calls.required, calls.parallel,
                  calls.content_schema.size(), ":", calls.content_schema);
  for (const CallableTool& one : format.tools) {
    absl::StrAppend(&key, one.strict, one.lenient, one.name.size(), ":",
                    one.name, one.parameters.size(), ":", one.parameters);
  }
  return absl::StrCat(key, "/", format.text);
}

}  // namespace

absl::StatusOr<GrammarPtr> GrammarCache::Get(const OutputFormat& format) {
  if (format.kind == OutputKind::kFree) return nullptr;
  std::string key = KeyOf(format);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->grammar;
    }
  }
  absl::StatusOr<GrammarPtr> grammar = Compile(format);
  if (!grammar.ok()) {
    const std::string field = Field(format.kind);
    return field.empty() ? grammar.status() : Annotate(grammar.status(), field);
  }
  const int64_t bytes =
      (*grammar)->bytes() + 2 * static_cast<int64_t>(key.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > max_bytes_ || by_key_.contains(key)) return grammar;
  entries_.push_front({key, *grammar, bytes});
  by_key_[std::move(key)] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > max_bytes_) {
    bytes_ -= entries_.back().bytes;
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  return grammar;
}

}  // namespace facet
