#include "rpc/coordinator/output_form.h"

#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// About a thousand masks of a vocabulary of 2^18 tokens.
constexpr int64_t kMaskCacheBytes = int64_t{32} << 20;

void Allow(int32_t id, TokenMask* mask) {
  (*mask)[id / 64] |= uint64_t{1} << (id % 64);
}

std::shared_ptr<const TokenMask> MakeFullMask(int64_t vocab_size) {
  auto mask = std::make_shared<TokenMask>((vocab_size + 63) / 64);
  for (int32_t id = 0; id < vocab_size; ++id) Allow(id, mask.get());
  return mask;
}

std::shared_ptr<const TokenMask> MakeThoughtMask(const Tokenizer& tokenizer,
                                                 const AnswerMarkers& markers) {
  const int64_t vocab_size = tokenizer.vocab_size();
  auto mask = std::make_shared<TokenMask>((vocab_size + 63) / 64);
  for (int32_t id = 0; id < vocab_size; ++id) {
    const bool ends = id == markers.channel_close;
    if (ends || !tokenizer.is_special(id)) Allow(id, mask.get());
  }
  return mask;
}

}  // namespace

OutputForms::OutputForms(const Tokenizer* tokenizer)
    : tokenizer_(tokenizer),
      markers_(AnswerMarkers::Of(*tokenizer)),
      controls_{{{markers_.call_open, kCallOpenByte},
                 {markers_.call_close, kCallCloseByte},
                 {markers_.string, kStringMarkerByte}}},
      thought_(MakeThoughtMask(*tokenizer, markers_)),
      any_(MakeFullMask(tokenizer->vocab_size())) {}

std::string OutputForms::BytesOf(int32_t id) const {
  for (const ControlToken& control : controls_) {
    if (id == control.id) return std::string(1, control.byte);
  }
  return TokenBytes(*tokenizer_, id);
}

MaskCache& OutputForms::masks() {
  std::call_once(once_, [this] {
    masks_ = std::make_unique<MaskCache>(
        TokenTrie::ForTokenizer(*tokenizer_, /*stop_ids=*/{},
                                /*excluded=*/{}, controls_),
        kMaskCacheBytes);
  });
  return *masks_;
}

OutputForm::OutputForm(OutputForms* forms, GrammarPtr grammar,
                       std::vector<int32_t> stop_ids, bool may_think,
                       std::optional<ThinkingBudget> budget)
    : forms_(forms),
      stop_ids_(std::move(stop_ids)),
      may_think_(may_think && forms->channel_open() >= 0),
      budget_(std::move(budget)) {
  if (grammar != nullptr) matcher_.emplace(std::move(grammar));
}

std::shared_ptr<const TokenMask> OutputForm::FreeMask(PartKind kind) const {
  if (budget_.has_value()) {
    if (const std::optional<int32_t> forced = budget_->Forced()) {
      auto mask = std::make_shared<TokenMask>(forms_->any()->size());
      Allow(*forced, mask.get());
      return mask;
    }
  }
  if (!matcher_.has_value()) return forms_->any();
  return kind == PartKind::kThought ? forms_->thought() : nullptr;
}

absl::StatusOr<std::shared_ptr<const TokenMask>> OutputForm::Mask(
    PartKind kind) const {
  if (auto mask = FreeMask(kind)) return mask;
  FACET_ASSIGN_OR_RETURN(std::shared_ptr<const TokenMask> mask,
                         forms_->masks().MaskFor(*matcher_));
  return Complete(std::move(mask));
}

std::shared_ptr<const TokenMask> OutputForm::QuickMask(PartKind kind) const {
  if (auto mask = FreeMask(kind)) return mask;
  std::shared_ptr<const TokenMask> mask = forms_->masks().Find(*matcher_);
  return mask == nullptr ? nullptr : Complete(std::move(mask));
}

std::shared_ptr<const TokenMask> OutputForm::Complete(
    std::shared_ptr<const TokenMask> mask) const {
  if (!may_think_ && !matcher_->CanEnd()) return mask;
  auto more = std::make_shared<TokenMask>(*mask);
  if (may_think_) Allow(forms_->channel_open(), more.get());
  if (matcher_->CanEnd()) {
    for (const int32_t id : stop_ids_) Allow(id, more.get());
  }
  return more;
}

absl::Status OutputForm::Take(int32_t id, PartKind before, PartKind after) {
  may_think_ = false;
  if (budget_.has_value()) budget_->Take(id);
  if (!matcher_.has_value()) return absl::OkStatus();
  if (before == PartKind::kThought || after == PartKind::kThought) {
    return absl::OkStatus();
  }
  return matcher_->Accept(forms_->BytesOf(id));
}

}  // namespace facet
