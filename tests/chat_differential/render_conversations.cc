// Renders conversations for chat_differential.py: each line of the input is
// {"format": NAME, "conversation": {...}}, each line of the output
// {"text": "..."} or {"error": "..."}.
#include <iostream>
#include <string>

#include "runtime/chat/chat_format.h"

namespace facet {
namespace {

ChatJson Render(const std::string& line) {
  const ChatJson request = ChatJson::parse(line);
  const absl::StatusOr<ChatFormat> format =
      ParseChatFormat(request["format"].get_ref<const std::string&>());
  if (!format.ok()) return {{"error", format.status().ToString()}};
  const absl::StatusOr<std::string> text =
      RenderChat(*format, request["conversation"]);
  if (!text.ok()) return {{"error", text.status().ToString()}};
  return {{"text", *text}};
}

}  // namespace
}  // namespace facet

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << facet::Render(line).dump() << "\n";
  }
}
