#include "rpc/cli/chat_screen.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <utility>

#include "absl/strings/str_format.h"

namespace facet {
namespace {

constexpr const char* kDim = "\033[2m";
constexpr const char* kPlain = "\033[0m";

}  // namespace

ChatScreen::ChatScreen()
    : input_is_terminal_(isatty(STDIN_FILENO) == 1),
      output_is_terminal_(isatty(STDOUT_FILENO) == 1) {}

bool ChatScreen::ReadLine(const std::string& question, std::string* line) {
  if (input_is_terminal_ && output_is_terminal_) {
    std::fputs(question.c_str(), stdout);
    std::fflush(stdout);
  }
  return static_cast<bool>(std::getline(std::cin, *line));
}

void ChatScreen::BeginAnswer() {
  answer_ = ChatAnswer();
  kind_ = PartKind::kAnswer;
  line_open_ = false;
}

void ChatScreen::BeginPart(PartKind kind) {
  FILE* const thoughts = output_is_terminal_ ? stdout : stderr;
  if (line_open_)
    std::fputc('\n', kind_ == PartKind::kThought ? thoughts : stdout);
  line_open_ = false;
  if (output_is_terminal_) {
    std::fputs(kind == PartKind::kThought ? kDim : kPlain, stdout);
  }
  kind_ = kind;
  if (kind == PartKind::kToolCall) answer_.raw_calls.emplace_back();
}

void ChatScreen::Show(const TextEvent& event) {
  for (const AnswerPart& part : event.parts) {
    if (part.begins) BeginPart(part.kind);
    if (part.kind == PartKind::kToolCall) {
      if (!answer_.raw_calls.empty()) answer_.raw_calls.back() += part.text;
      continue;  // shown when it is whole
    }
    const bool thought = part.kind == PartKind::kThought;
    (thought ? answer_.thought : answer_.text) += part.text;
    FILE* const out = thought && !output_is_terminal_ ? stderr : stdout;
    std::fputs(part.text.c_str(), out);
    std::fflush(out);
    if (!part.text.empty()) line_open_ = part.text.back() != '\n';
  }
}

ChatAnswer ChatScreen::EndAnswer(const TextEvent& last) {
  const bool thought = kind_ == PartKind::kThought;
  if (line_open_) {
    std::fputc('\n', thought && !output_is_terminal_ ? stderr : stdout);
  }
  if (output_is_terminal_) std::fputs(kPlain, stdout);
  std::fflush(stdout);
  line_open_ = false;
  if (last.finish == FinishReason::kCancelled) {
    Note("(stopped)");
  } else {
    Note(absl::StrFormat(
        "(%d tokens, %.1f tokens/s, first after %.2f s%s)",
        last.usage.completion_tokens, last.usage.tokens_per_s,
        last.usage.first_token_s,
        last.finish == FinishReason::kLength ? "; cut at --max-tokens" : ""));
  }
  return std::exchange(answer_, ChatAnswer());
}

void ChatScreen::ShowCall(const ToolCall& call) {
  Note(absl::StrFormat(
      "calls %s %s", call.name,
      call.arguments.dump(-1, ' ', false,
                          nlohmann::json::error_handler_t::replace)));
}

void ChatScreen::Note(const std::string& text) {
  if (output_is_terminal_) {
    std::printf("%s%s%s\n", kDim, text.c_str(), kPlain);
    std::fflush(stdout);
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

}  // namespace facet
