// `facet render`: the exact prompt text of a conversation.
#include <cstdio>

#include "kernels/base/status_macros.h"
#include "rpc/cli/input_files.h"
#include "rpc/cli/verb.h"
#include "rpc/coordinator/text_model.h"
#include "runtime/chat/chat_format.h"

namespace facet {
namespace {

struct RenderFlags {
  std::string model;
  std::string conversation;
  std::string chat_format = "auto";
};

absl::Status Render(const RenderFlags& flags) {
  if (flags.model.empty() && flags.chat_format == "auto") {
    return absl::InvalidArgumentError(
        "give --model, or --chat-format for a format without a model");
  }
  FACET_ASSIGN_OR_RETURN(const ChatFormat format,
                         flags.chat_format == "auto"
                             ? DetectChatFormat(flags.model)
                             : ParseChatFormat(flags.chat_format));
  FACET_ASSIGN_OR_RETURN(const std::string json, ReadInput(flags.conversation));
  const absl::StatusOr<ChatJson> conversation = ParseConversation(json);
  if (!conversation.ok()) {
    return Annotate(conversation.status(), flags.conversation);
  }
  const absl::StatusOr<std::string> text = RenderChat(format, *conversation);
  if (!text.ok()) return Annotate(text.status(), flags.conversation);
  std::fwrite(text->data(), 1, text->size(), stdout);
  return absl::OkStatus();
}

}  // namespace

int RunRender(int argc, char** argv) {
  RenderFlags flags;
  const auto app = MakeApp(
      "render",
      "Prints the exact prompt text of a conversation, nothing added.",
      "  facet render --model DIR --conversation=chat.json\n"
      "  facet render --chat-format=current --conversation=- < chat.json\n\n"
      "chat.json: {\"messages\": [...], \"tools\": [...], \"enable_thinking\": "
      "false,\n            \"add_generation_prompt\": true}\n");
  app->add_option("--model", flags.model, "Checkpoint directory");
  app->add_option("--conversation", flags.conversation,
                  "JSON file with the conversation; - for stdin")
      ->required();
  app->add_option("--chat-format", flags.chat_format,
                  "auto, current, interleaved or original")
      ->capture_default_str();
  return RunVerb(app.get(), argc, argv, [&] { return Render(flags); });
}

}  // namespace facet
