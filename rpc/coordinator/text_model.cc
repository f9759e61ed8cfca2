#include "rpc/coordinator/text_model.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/encode_chat.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr int kMaxJsonDepth = 64;

// The last part of a path, trailing slashes aside.
std::string BaseName(const std::string& directory) {
  std::error_code ignored;
  const std::filesystem::path whole =
      std::filesystem::weakly_canonical(directory, ignored);
  const std::string name = whole.filename().string();
  return name.empty() ? directory : name;
}

absl::Status CheckNoMedia(const ModelConfig& config,
                          const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) {
    const bool media =
        id >= 0 && (id == config.image_token_id ||
                    id == config.video_token_id || id == config.audio_token_id);
    if (!media) continue;
    return absl::InvalidArgumentError(
        "messages: images, video and audio are not supported, only text");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TextModel> LoadTextModel(const std::string& directory,
                                        const std::string& chat_format) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return absl::NotFoundError(
        absl::StrCat("model directory ", directory, ": ",
                     error ? error.message() : std::string("not a directory")));
  }
  TextModel model{BaseName(directory), {}, nullptr, {}, {},
                  ChatFormat::kCurrent};
  FACET_ASSIGN_OR_RETURN(model.config, ReadModelConfig(directory));
  FACET_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::Load(directory));
  FACET_ASSIGN_OR_RETURN(model.defaults, ReadGenerationDefaults(directory));
  const std::vector<int>& eos = model.defaults.eos_token_ids.empty()
                                    ? model.config.eos_token_ids
                                    : model.defaults.eos_token_ids;
  model.eos_ids.assign(eos.begin(), eos.end());
  if (chat_format == "auto") {
    model.chat_format = DetectChatFormat(directory);
  } else {
    FACET_ASSIGN_OR_RETURN(model.chat_format, ParseChatFormat(chat_format));
  }
  return model;
}

absl::StatusOr<std::vector<int32_t>> CompletionTokens(const TextModel& model,
                                                      const std::string& text) {
  if (text.empty()) {
    return absl::InvalidArgumentError("prompt: empty");
  }
  absl::StatusOr<std::vector<int32_t>> ids =
      model.tokenizer->Encode(text, EncodeOptions());
  if (!ids.ok()) return Annotate(ids.status(), "prompt");
  const std::optional<int32_t> bos = model.tokenizer->TokenId("<bos>");
  if (bos.has_value() && (ids->empty() || ids->front() != *bos)) {
    ids->insert(ids->begin(), *bos);
  }
  return ids;
}

absl::StatusOr<ChatJson> ParseConversation(const std::string& json) {
  const size_t valid = ValidUtf8Prefix(json);
  if (valid < json.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("conversation: not UTF-8 at byte ", valid));
  }
  bool too_deep = false;
  const auto watch_depth = [&](int depth, ChatJson::parse_event_t, ChatJson&) {
    too_deep |= depth > kMaxJsonDepth;
    return depth <= kMaxJsonDepth;
  };
  ChatJson conversation;
  try {
    conversation = ChatJson::parse(json, watch_depth);
  } catch (const nlohmann::json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, ...": the
    // bracket tells a user nothing.
    std::string what = e.what();
    const size_t bracket = what.find("] ");
    if (bracket != std::string::npos) what.erase(0, bracket + 2);
    return absl::InvalidArgumentError(
        absl::StrCat("conversation: not JSON: ", what));
  }
  if (too_deep) {
    return absl::InvalidArgumentError(absl::StrCat(
        "conversation: nested deeper than ", kMaxJsonDepth, " levels"));
  }
  if (!conversation.is_object()) {
    return absl::InvalidArgumentError(
        "conversation: expected an object with \"messages\"");
  }
  return conversation;
}

absl::StatusOr<std::vector<int32_t>> ConversationTokens(
    const TextModel& model, const std::string& json,
    const bool* enable_thinking) {
  FACET_RETURN_IF_ERROR(model.chat_format.status());
  FACET_ASSIGN_OR_RETURN(ChatJson conversation, ParseConversation(json));
  if (enable_thinking != nullptr) {
    conversation["enable_thinking"] = *enable_thinking;
  }
  FACET_ASSIGN_OR_RETURN(
      std::vector<int32_t> ids,
      EncodeChat(*model.chat_format, conversation, *model.tokenizer));
  FACET_RETURN_IF_ERROR(CheckNoMedia(model.config, ids));
  return ids;
}

}  // namespace facet
