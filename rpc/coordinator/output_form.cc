#include "rpc/coordinator/output_form.h"

#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// About a thousand masks of a vocabulary of 2^18 tokens.
constexpr int64_t kMaskCacheBytes = int64_t{32} << 20;

std::shared_ptr<const TokenMask> Everything(int64_t vocab_size) {
  auto mask = std::make_shared<TokenMask>((vocab_size + 63) / 64, ~uint64_t{0});
  if (vocab_size % 64 != 0) {
    mask->back() = (uint64_t{1} << (vocab_size % 64)) - 1;
  }
  return mask;
}

}  // namespace

OutputForms::OutputForms(const Tokenizer* tokenizer)
    : tokenizer_(tokenizer),
      channel_open_(tokenizer->TokenId("<|channel>").value_or(-1)),
      any_(Everything(tokenizer->vocab_size())) {}

MaskCache& OutputForms::masks() {
  std::call_once(once_, [this] {
    masks_ = std::make_unique<MaskCache>(
        TokenTrie::ForTokenizer(*tokenizer_, /*stop_ids=*/{}), kMaskCacheBytes);
  });
  return *masks_;
}

OutputForm::OutputForm(OutputForms* forms, GrammarPtr grammar,
                       std::vector<int32_t> stop_ids, bool may_think)
    : forms_(forms),
      matcher_(std::move(grammar)),
      stop_ids_(std::move(stop_ids)),
      may_think_(may_think && forms->channel_open() >= 0) {}

absl::StatusOr<std::shared_ptr<const TokenMask>> OutputForm::Mask(
    PartKind kind) const {
  if (kind == PartKind::kThought) return forms_->any();
  FACET_ASSIGN_OR_RETURN(std::shared_ptr<const TokenMask> mask,
                         forms_->masks().MaskFor(matcher_));
  return Complete(std::move(mask));
}

std::shared_ptr<const TokenMask> OutputForm::QuickMask(PartKind kind) const {
  if (kind == PartKind::kThought) return forms_->any();
  std::shared_ptr<const TokenMask> mask = forms_->masks().Find(matcher_);
  return mask == nullptr ? nullptr : Complete(std::move(mask));
}

std::shared_ptr<const TokenMask> OutputForm::Complete(
    std::shared_ptr<const TokenMask> mask) const {
  if (!may_think_ && !matcher_.CanEnd()) return mask;
  auto more = std::make_shared<TokenMask>(*mask);
  const auto allow = [&](int32_t id) {
    (*more)[id / 64] |= uint64_t{1} << (id % 64);
  };
  if (may_think_) allow(forms_->channel_open());
  if (matcher_.CanEnd()) {
    for (const int32_t id : stop_ids_) allow(id);
  }
  return more;
}

absl::Status OutputForm::Take(int32_t id, PartKind before, PartKind after) {
  may_think_ = false;
  if (before != PartKind::kAnswer || after != PartKind::kAnswer) {
    return absl::OkStatus();
  }
  return matcher_.Accept(TokenBytes(forms_->tokenizer(), id));
}

}  // namespace facet
