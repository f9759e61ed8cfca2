// What the front door reads of a model directory: everything but the weights.
#ifndef FACET_RPC_COORDINATOR_TEXT_MODEL_H_
#define FACET_RPC_COORDINATOR_TEXT_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_format.h"
#include "runtime/config/model_config.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// Immutable after LoadTextModel(), so threads may share one.
struct TextModel {
  std::string name;  // the directory's own
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  GenerationDefaults defaults;
  std::vector<int32_t> eos_ids;
  // An error where the model has no conversations, told to who asks for one.
  absl::StatusOr<ChatFormat> chat_format;
};

// `chat_format` is "auto" or what ParseChatFormat() reads.
//
// Errors: those of ReadModelConfig(), Tokenizer::Load(),
// ReadGenerationDefaults() and ParseChatFormat(); NOT_FOUND when there is no
// such directory.
absl::StatusOr<TextModel> LoadTextModel(const std::string& directory,
                                        const std::string& chat_format);

// The ids of `text` as a plain completion starts with: <bos> in front exactly
// once where the tokenizer has one.
//
// Errors: INVALID_ARGUMENT for an empty text, or one that is not UTF-8.
absl::StatusOr<std::vector<int32_t>> CompletionTokens(const TextModel& model,
                                                      const std::string& text);

// The ids of a conversation, given as JSON. `enable_thinking`, if not null,
// overrides what the JSON says.
//
// Errors: INVALID_ARGUMENT naming the field; those of `model.chat_format`.
absl::StatusOr<std::vector<int32_t>> ConversationTokens(
    const TextModel& model, const std::string& json,
    const bool* enable_thinking);

// Parses the JSON of a conversation; errors name line and column.
absl::StatusOr<ChatJson> ParseConversation(const std::string& json);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_TEXT_MODEL_H_
