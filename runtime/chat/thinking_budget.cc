#include "runtime/chat/thinking_budget.h"

namespace facet {

ThinkingBudget::ThinkingBudget(const Tokenizer* tokenizer,
                               absl::Span<const int32_t> prompt,
                               int64_t max_tokens)
    : tokenizer_(tokenizer),
      markers_(AnswerMarkers::Of(*tokenizer)),
      max_tokens_(max_tokens) {
  const auto line_end = tokenizer->Encode("\n", EncodeOptions());
  if (line_end.ok() && line_end->size() == 1) line_end_ = line_end->front();
  for (const int32_t id : prompt) Read(id);
}

std::optional<int32_t> ThinkingBudget::Forced() const {
  if (kind_ != PartKind::kThought || in_name_ || spent_ < max_tokens_ ||
      markers_.channel_close < 0) {
    return std::nullopt;
  }
  return line_ended_ || line_end_ < 0 ? markers_.channel_close : line_end_;
}

void ThinkingBudget::Take(int32_t id) {
  const bool counts = kind_ == PartKind::kThought && !in_name_ &&
                      id != markers_.channel_close && !Forced().has_value();
  Read(id);
  if (counts) ++spent_;
}

void ThinkingBudget::Read(int32_t id) {
  kind_ = markers_.KindAfter(kind_, id);
  if (id >= 0 && id == markers_.channel_open) {
    in_name_ = true;
    line_ended_ = false;
    return;
  }
  const std::string text = TokenBytes(*tokenizer_, id);
  if (text.empty()) return;
  line_ended_ = text.back() == '\n';
  if (text.find('\n') != std::string::npos) in_name_ = false;
}

}  // namespace facet
