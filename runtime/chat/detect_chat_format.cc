// DetectChatFormat(): which template a checkpoint came with.
#include <openssl/evp.h>

#include <fstream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/chat_format.h"

namespace facet {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} << 20;

struct KnownTemplate {
  const char* sha256;
  ChatFormat format;
};

constexpr KnownTemplate kKnownTemplates[] = {
    // google/gemma-4-*-it, first release
    {"87294f1fa94c3733b7f325252567c990edfd0269ff7df285f995ca5226c8989b",
     ChatFormat::kOriginal},
    // google/gemma-4-31B-it, the variant with interleaved reasoning
    {"65f93a25708c952457106a30e185ba7beffddd726121c8d7e3f3e08b23c16c67",
     ChatFormat::kInterleaved},
    // google/gemma-4-31B-it, the official template since
    {"85a08664d16d8f3be4416c92427b3ac10df1024ac566cc0b4bc3bab409393f98",
     ChatFormat::kCurrent},
    // deploy/demo-model, Facet's own wording of the official one
    {"f67a8bf6a504b8baee797c96b7893b1a3211f6759b83b17d153d81785c013f34",
     ChatFormat::kCurrent},
};

std::string Sha256(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(),
                 nullptr) != 1) {
    return "";
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

// `text` in the form whose hash counts: how lines end makes no difference to
// what a template gives, nor does a line break at its very end.
std::string WithPlainLineEnds(absl::string_view text) {
  std::string plain = absl::StrReplaceAll(text, {{"\r\n", "\n"}});
  if (!absl::EndsWith(plain, "\n")) plain += '\n';
  return plain;
}

// What to say of a template that is not one of ours: by what it reads and
// writes, the published one it goes back to, if any. That is a hint: only the
// hash says that they give the same text.
std::string Resemblance(absl::string_view text) {
  if (!absl::StrContains(text, "<|turn>")) {
    return "it never writes <|turn>, so it follows no format of Gemma 4, and "
           "conversations would be garbled";
  }
  ChatFormat format = ChatFormat::kOriginal;
  const char* reads = "reads neither tool_call_id nor reasoning_content";
  if (absl::StrContains(text, "tool_call_id")) {
    format = ChatFormat::kCurrent;
    reads = "reads tool_call_id";
  } else if (absl::StrContains(text, "reasoning_content")) {
    format = ChatFormat::kInterleaved;
    reads = "reads reasoning_content but not tool_call_id";
  }
  return absl::StrCat("it ", reads, ", as \"", Name(format), "\" does");
}

// None when there is no such file; an error when it is too large.
absl::StatusOr<std::optional<std::string>> ReadIfThere(
    const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::optional<std::string>();
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(&text[0], text.size());
  text.resize(file.gcount());
  if (text.size() > kMaxFileBytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": larger than ", kMaxFileBytes, " bytes; not a chat template"));
  }
  return std::optional<std::string>(std::move(text));
}

// The "chat_template" of a tokenizer_config.json: a string, or a list of named
// templates of which "default" counts.
std::optional<std::string> TemplateOfConfig(const std::string& text) {
  const ChatJson config =
      ChatJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return std::nullopt;
  const auto found = config.find("chat_template");
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return found->get_ref<const std::string&>();
  if (!found->is_array()) return std::nullopt;
  for (const ChatJson& entry : *found) {
    if (!entry.is_object()) continue;
    const auto name = entry.find("name");
    const auto body = entry.find("template");
    if (name != entry.end() && *name == "default" && body != entry.end() &&
        body->is_string()) {
      return body->get_ref<const std::string&>();
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<ChatFormat> DetectChatFormat(const std::string& directory) {
  std::string source = absl::StrCat(directory, "/chat_template.jinja");
  FACET_ASSIGN_OR_RETURN(std::optional<std::string> text, ReadIfThere(source));
  if (!text) {
    source = absl::StrCat(directory, "/tokenizer_config.json");
    FACET_ASSIGN_OR_RETURN(const std::optional<std::string> config,
                           ReadIfThere(source));
    if (config) text = TemplateOfConfig(*config);
  }
  if (!text) {
    return absl::NotFoundError(
        absl::StrCat(directory,
                     ": no chat_template.jinja and no chat_template in "
                     "tokenizer_config.json: a base model has no chat format"));
  }
  const std::string sha256 = Sha256(WithPlainLineEnds(*text));
  for (const KnownTemplate& known : kKnownTemplates) {
    if (sha256 == known.sha256) return known.format;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(source, ": unknown chat template (SHA-256 ", sha256,
                   "): ", Resemblance(*text),
                   "; compare them and choose the format it follows by "
                   "--chat-format=original, interleaved or current"));
}

}  // namespace facet
