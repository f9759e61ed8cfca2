#include "rpc/cli/chat_screen.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"

namespace facet {
namespace {

constexpr const char* kDim = "\033[2m";
constexpr const char* kPlain = "\033[0m";

bool WantsColors() {
  const char* const none = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  return (none == nullptr || *none == '\0') &&
         (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

}  // namespace

ChatScreen::ChatScreen()
    : output_is_terminal_(isatty(STDOUT_FILENO) == 1),
      colors_(output_is_terminal_ && WantsColors()) {}

void ChatScreen::BeginAnswer() {
  answer_ = ChatAnswer();
  parser_.emplace();
  thinking_ = false;
  line_open_ = false;
}

void ChatScreen::EndLine() {
  FILE* const out = thinking_ && !output_is_terminal_ ? stderr : stdout;
  if (line_open_) std::fputc('\n', out);
  if (thinking_ && colors_) std::fputs(kPlain, stdout);
  std::fflush(out);
  line_open_ = false;
  thinking_ = false;
}

void ChatScreen::ShowText(bool thought, const std::string& text) {
  if (thought != thinking_) {
    EndLine();
    if (thought && colors_) std::fputs(kDim, stdout);
    thinking_ = thought;
  }
  FILE* const out = thought && !output_is_terminal_ ? stderr : stdout;
  std::fputs(text.c_str(), out);
  std::fflush(out);
  line_open_ = text.back() != '\n';
}

void ChatScreen::Show(const TextEvent& event) {
  std::vector<AnswerEvent> events;
  for (const AnswerPart& part : event.parts) parser_->Push(part, &events);
  Show(events);
}

void ChatScreen::Show(const std::vector<AnswerEvent>& events) {
  for (const AnswerEvent& event : events) {
    switch (event.kind) {
      case AnswerEventKind::kThought:
        answer_.thought += event.text;
        ShowText(/*thought=*/true, event.text);
        break;
      case AnswerEventKind::kContent:
        answer_.text += event.text;
        ShowText(/*thought=*/false, event.text);
        break;
      case AnswerEventKind::kCallBegin:
        answer_.calls.push_back({event.text, ""});
        break;
      case AnswerEventKind::kArguments:
        answer_.calls.back().arguments += event.text;
        break;
      case AnswerEventKind::kCallEnd: {
        ToolCall& call = answer_.calls.back();
        call.malformed = event.malformed;
        EndLine();
        Note(absl::StrFormat("%s %s %s",
                             call.malformed ? "a broken call of" : "calls",
                             call.name, call.arguments));
        break;
      }
    }
  }
}

ChatAnswer ChatScreen::EndAnswer(const TextEvent& last) {
  std::vector<AnswerEvent> events;
  parser_->Finish(&events);
  Show(events);
  EndLine();
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

void ChatScreen::Note(const std::string& text) {
  if (output_is_terminal_) {
    std::printf("%s%s%s\n", colors_ ? kDim : "", text.c_str(),
                colors_ ? kPlain : "");
    std::fflush(stdout);
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

}  // namespace facet
