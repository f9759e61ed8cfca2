// A prompt under construction, which remembers who wrote what.
#ifndef FACET_RUNTIME_CHAT_PROMPT_TEXT_H_
#define FACET_RUNTIME_CHAT_PROMPT_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

class PromptText {
 public:
  // Text of the format itself: special tokens and punctuation.
  void Format(absl::string_view text) {
    text_.append(text.data(), text.size());
  }

  // Text from the conversation. A special token spelled in it is text, not a
  // token.
  void Content(absl::string_view text) {
    if (text.empty()) return;
    if (content_.empty() || content_.back().end != text_.size()) {
      content_.push_back({text_.size(), text_.size()});
    }
    text_.append(text.data(), text.size());
    content_.back().end = text_.size();
  }

  const std::string& text() const { return text_; }
  // Sorted and disjoint.
  const std::vector<TextRange>& content() const { return content_; }

 private:
  std::string text_;
  std::vector<TextRange> content_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_PROMPT_TEXT_H_
