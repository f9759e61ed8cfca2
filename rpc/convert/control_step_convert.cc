#include "rpc/convert/control_step_convert.h"

#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_checks.h"
#include "rpc/convert/control_convert.h"

namespace facet {
namespace {

static_assert(std::endian::native == std::endian::little,
              "masks travel as little-endian words");

constexpr int64_t kMaxSlices = 1 << 16;
constexpr int64_t kMaxFinished = 1 << 20;
constexpr size_t kMaxMaskBytes = kMaxSliceTokens / 8;

using Ints = google::protobuf::RepeatedField<int32_t>;

absl::StatusOr<std::vector<int32_t>> ParseTokens(const Ints& tokens,
                                                 const char* field) {
  FACET_RETURN_IF_ERROR(CheckCount(tokens.size(), kMaxSliceTokens, field));
  for (int32_t token : tokens) {
    FACET_RETURN_IF_ERROR(CheckNotNegative(token, field));
  }
  return std::vector<int32_t>(tokens.begin(), tokens.end());
}

absl::StatusOr<std::vector<PageId>> ParsePages(const Ints& pages,
                                               const char* field) {
  FACET_RETURN_IF_ERROR(CheckCount(pages.size(), kMaxSliceTokens, field));
  std::vector<PageId> out;
  out.reserve(pages.size());
  for (int32_t page : pages) {
    FACET_RETURN_IF_ERROR(CheckNotNegative(page, field));
    out.push_back({page});
  }
  return out;
}

// ---- plans -----------------------------------------------------------------

void Fill(const SamplingParams& in, v1::StepPlan::Sampling& out) {
  out.set_temperature(in.temperature);
  out.set_top_k(in.top_k);
  out.set_top_p(in.top_p);
  out.set_min_p(in.min_p);
  out.set_seed(in.seed);
  out.set_logprob(in.logprob);
  out.set_top_logprobs(in.top_logprobs);
  out.set_repetition_penalty(in.repetition_penalty);
  out.set_presence_penalty(in.presence_penalty);
  out.set_frequency_penalty(in.frequency_penalty);
}

// A negated comparison would let NaN through; these do not.
absl::StatusOr<SamplingParams> Parse(const v1::StepPlan::Sampling& in) {
  const auto refuse = [](const char* field, float value, const char* legal) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slices.sampling.", field, " is ", value, ", expected ", legal));
  };
  constexpr float kFinite = std::numeric_limits<float>::max();
  if (!(in.temperature() >= 0 && in.temperature() <= kFinite)) {
    return refuse("temperature", in.temperature(), "0 or more, finite");
  }
  if (in.top_k() < 0) return refuse("top_k", in.top_k(), "0 or more");
  if (!(in.top_p() > 0 && in.top_p() <= 1)) {
    return refuse("top_p", in.top_p(), "a value in (0, 1]");
  }
  if (!(in.min_p() >= 0 && in.min_p() < 1)) {
    return refuse("min_p", in.min_p(), "a value in [0, 1)");
  }
  if (in.top_logprobs() < 0 || in.top_logprobs() > kMaxTopLogprobs) {
    return refuse("top_logprobs", in.top_logprobs(), "0 to 64");
  }
  if (!(in.repetition_penalty() > 0 && in.repetition_penalty() <= kFinite)) {
    return refuse("repetition_penalty", in.repetition_penalty(),
                  "above 0, finite");
  }
  if (!(in.presence_penalty() >= -2 && in.presence_penalty() <= 2)) {
    return refuse("presence_penalty", in.presence_penalty(), "-2 to 2");
  }
  if (!(in.frequency_penalty() >= -2 && in.frequency_penalty() <= 2)) {
    return refuse("frequency_penalty", in.frequency_penalty(), "-2 to 2");
  }
  SamplingParams out;
  out.temperature = in.temperature();
  out.top_k = in.top_k();
  out.top_p = in.top_p();
  out.min_p = in.min_p();
  out.seed = in.seed();
  out.logprob = in.logprob();
  out.top_logprobs = in.top_logprobs();
  out.repetition_penalty = in.repetition_penalty();
  out.presence_penalty = in.presence_penalty();
  out.frequency_penalty = in.frequency_penalty();
  return out;
}

void Fill(const SequenceStart& in, v1::StepPlan::Start& out) {
  out.set_prompt_tokens(in.prompt_tokens);
  out.mutable_earlier_tokens()->Assign(in.earlier_tokens.begin(),
                                       in.earlier_tokens.end());
  for (const TokenBias& bias : in.logit_bias) {
    out.add_bias_tokens(bias.token);
    out.add_biases(bias.bias);
  }
  out.mutable_late_tokens()->Assign(in.late_tokens.begin(),
                                    in.late_tokens.end());
  out.set_late_position(in.late_position);
}

absl::StatusOr<SequenceStart> Parse(const v1::StepPlan::Start& in) {
  SequenceStart out;
  FACET_RETURN_IF_ERROR(
      CheckPosition(in.prompt_tokens(), "slices.begins.prompt_tokens"));
  out.prompt_tokens = in.prompt_tokens();
  FACET_ASSIGN_OR_RETURN(
      out.earlier_tokens,
      ParseTokens(in.earlier_tokens(), "slices.begins.earlier_tokens"));
  FACET_RETURN_IF_ERROR(CheckField(in.biases_size() == in.bias_tokens_size(),
                                   "slices.begins.biases", in.biases_size(),
                                   "as many as slices.begins.bias_tokens"));
  FACET_ASSIGN_OR_RETURN(
      const std::vector<int32_t> bias_tokens,
      ParseTokens(in.bias_tokens(), "slices.begins.bias_tokens"));
  out.logit_bias.reserve(bias_tokens.size());
  for (int i = 0; i < in.bias_tokens_size(); ++i) {
    const float bias = in.biases(i);
    constexpr float kFinite = std::numeric_limits<float>::max();
    if (!(bias >= -kFinite && bias <= kFinite)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "slices.begins.biases is ", bias, ", expected a finite value"));
    }
    out.logit_bias.push_back({bias_tokens[i], bias});
  }
  FACET_ASSIGN_OR_RETURN(
      out.late_tokens,
      ParseTokens(in.late_tokens(), "slices.begins.late_tokens"));
  FACET_RETURN_IF_ERROR(
      CheckPosition(in.late_position(), "slices.begins.late_position"));
  out.late_position = in.late_position();
  return out;
}

void Fill(const SequenceSlice& in, v1::StepPlan::Slice& out) {
  out.set_sequence(in.sequence.value);
  out.mutable_tokens()->Assign(in.tokens.begin(), in.tokens.end());
  out.set_start(in.start);
  if (in.begins.has_value()) Fill(*in.begins, *out.mutable_begins());
  for (PageId page : in.new_sliding_pages) {
    out.add_new_sliding_pages(page.value);
  }
  for (PageId page : in.new_global_pages) {
    out.add_new_global_pages(page.value);
  }
  out.set_sliding_first_page(in.sliding_first_page);
  if (in.sample) Fill(in.sampling, *out.mutable_sampling());
  out.set_logits(static_cast<v1::StepPlan::Logits>(in.logits));
  if (in.prompt_logprobs >= 0) out.set_prompt_logprobs(in.prompt_logprobs);
  if (in.next_prompt_token >= 0) {
    out.set_next_prompt_token(in.next_prompt_token);
  }
}

using Masks = std::vector<std::shared_ptr<const TokenMask>>;

absl::StatusOr<std::shared_ptr<const TokenMask>> ParseMask(
    const std::string& bytes) {
  const size_t words = bytes.size() / sizeof(uint64_t);
  FACET_RETURN_IF_ERROR(CheckField(
      words * sizeof(uint64_t) == bytes.size() && bytes.size() <= kMaxMaskBytes,
      "masks", static_cast<int64_t>(bytes.size()),
      "up to 2^21 bytes, a multiple of 8"));
  auto mask = std::make_shared<TokenMask>(words);
  if (words > 0) std::memcpy(mask->data(), bytes.data(), bytes.size());
  return mask;
}

absl::StatusOr<SequenceSlice> Parse(const v1::StepPlan::Slice& in,
                                    const Masks& masks) {
  SequenceSlice out;
  out.sequence = {in.sequence()};
  FACET_RETURN_IF_ERROR(CheckField(in.tokens_size() >= 1, "slices.tokens",
                                   in.tokens_size(), "1 to 2^24 entries"));
  if (in.tokens_size() == 1 && in.tokens(0) == kSampledToken) {
    out.tokens = {kSampledToken};
  } else {
    FACET_ASSIGN_OR_RETURN(out.tokens,
                           ParseTokens(in.tokens(), "slices.tokens"));
  }
  FACET_RETURN_IF_ERROR(CheckPosition(in.start(), "slices.start"));
  out.start = in.start();
  if (in.has_begins()) {
    FACET_ASSIGN_OR_RETURN(out.begins, Parse(in.begins()));
  }
  FACET_ASSIGN_OR_RETURN(
      out.new_sliding_pages,
      ParsePages(in.new_sliding_pages(), "slices.new_sliding_pages"));
  FACET_ASSIGN_OR_RETURN(
      out.new_global_pages,
      ParsePages(in.new_global_pages(), "slices.new_global_pages"));
  FACET_RETURN_IF_ERROR(
      CheckPosition(in.sliding_first_page(), "slices.sliding_first_page"));
  out.sliding_first_page = in.sliding_first_page();
  if (in.has_sampling()) {
    out.sample = true;
    FACET_ASSIGN_OR_RETURN(out.sampling, Parse(in.sampling()));
  }
  if (in.has_mask()) {
    FACET_RETURN_IF_ERROR(CheckField(
        in.mask() >= 0 && in.mask() < static_cast<int64_t>(masks.size()),
        "slices.mask", in.mask(), "the index of one of masks"));
    out.mask = masks[in.mask()];
  }
  FACET_RETURN_IF_ERROR(CheckField(in.logits() >= 0 && in.logits() <= 2,
                                   "slices.logits", in.logits(), "0 to 2"));
  out.logits = static_cast<LogitsWanted>(in.logits());
  if (in.has_prompt_logprobs()) {
    FACET_RETURN_IF_ERROR(CheckField(
        in.prompt_logprobs() >= 0 && in.prompt_logprobs() <= kMaxTopLogprobs,
        "slices.prompt_logprobs", in.prompt_logprobs(), "0 to 64"));
    out.prompt_logprobs = in.prompt_logprobs();
  }
  if (in.has_next_prompt_token()) {
    FACET_RETURN_IF_ERROR(
        CheckNotNegative(in.next_prompt_token(), "slices.next_prompt_token"));
    out.next_prompt_token = in.next_prompt_token();
  }
  return out;
}

}  // namespace

void Fill(const StepPlan& in, v1::StepPlan& out) {
  out.set_step(in.step);
  absl::flat_hash_map<const TokenMask*, int> masks;
  for (const SequenceSlice& slice : in.slices) {
    v1::StepPlan::Slice& to = *out.add_slices();
    Fill(slice, to);
    if (slice.mask == nullptr) continue;
    const TokenMask& mask = *slice.mask;
    const auto [known, is_new] = masks.emplace(&mask, out.masks_size());
    if (is_new) out.add_masks(mask.data(), mask.size() * sizeof(uint64_t));
    to.set_mask(known->second);
  }
  for (SequenceId sequence : in.finished) out.add_finished(sequence.value);
  out.set_completed(in.completed);
}

absl::StatusOr<StepPlan> Parse(const v1::StepPlan& in) {
  StepPlan out;
  out.step = in.step();
  FACET_RETURN_IF_ERROR(CheckCount(in.masks_size(), kMaxSlices, "masks"));
  Masks masks;
  masks.reserve(in.masks_size());
  for (const std::string& bytes : in.masks()) {
    FACET_ASSIGN_OR_RETURN(std::shared_ptr<const TokenMask> mask,
                           ParseMask(bytes));
    masks.push_back(std::move(mask));
  }
  FACET_RETURN_IF_ERROR(CheckCount(in.slices_size(), kMaxSlices, "slices"));
  out.slices.reserve(in.slices_size());
  for (const v1::StepPlan::Slice& slice : in.slices()) {
    FACET_ASSIGN_OR_RETURN(SequenceSlice parsed, Parse(slice, masks));
    out.slices.push_back(std::move(parsed));
  }
  FACET_RETURN_IF_ERROR(
      CheckCount(in.finished_size(), kMaxFinished, "finished"));
  out.finished.reserve(in.finished_size());
  for (uint64_t sequence : in.finished()) out.finished.push_back({sequence});
  out.completed = in.completed();
  return out;
}

// ---- results ---------------------------------------------------------------

void Fill(const StepResult& in, v1::StepResult& out) {
  out.set_step(in.step);
  out.set_compute_ns(absl::ToInt64Nanoseconds(in.compute));
  for (const SampledToken& token : in.tokens) {
    v1::StepResult::Token& to = *out.add_tokens();
    to.set_sequence(token.sequence.value);
    to.set_token(token.token);
    to.set_logprob(token.logprob);
    for (const TokenLogprob& top : token.top) {
      v1::StepResult::TokenLogprob& top_to = *to.add_top();
      top_to.set_token(top.token);
      top_to.set_logprob(top.logprob);
    }
  }
}

absl::StatusOr<StepResult> Parse(const v1::StepResult& in) {
  StepResult out;
  out.step = in.step();
  FACET_RETURN_IF_ERROR(CheckNotNegative(in.compute_ns(), "compute_ns"));
  out.compute = absl::Nanoseconds(in.compute_ns());
  FACET_RETURN_IF_ERROR(CheckCount(in.tokens_size(), kMaxSlices, "tokens"));
  out.tokens.reserve(in.tokens_size());
  for (const v1::StepResult::Token& token : in.tokens()) {
    FACET_RETURN_IF_ERROR(CheckNotNegative(token.token(), "tokens.token"));
    FACET_RETURN_IF_ERROR(
        CheckCount(token.top_size(), kMaxTopLogprobs, "tokens.top"));
    SampledToken to;
    to.sequence = {token.sequence()};
    to.token = token.token();
    to.logprob = token.logprob();
    for (const v1::StepResult::TokenLogprob& top : token.top()) {
      FACET_RETURN_IF_ERROR(CheckNotNegative(top.token(), "tokens.top.token"));
      to.top.push_back({top.token(), top.logprob()});
    }
    out.tokens.push_back(std::move(to));
  }
  return out;
}

void Fill(const LogitsPiece& in, v1::LogitsPiece& out) {
  out.set_step(in.step);
  out.set_sequence(in.block.sequence.value);
  out.set_first_position(in.block.first_position);
  out.set_rows(in.block.rows);
  out.set_vocab_begin(in.block.vocab_begin);
  out.set_vocab_end(in.block.vocab_end);
  out.set_offset(in.offset);
  out.mutable_values()->Assign(in.values.begin(), in.values.end());
}

absl::StatusOr<LogitsPiece> Parse(const v1::LogitsPiece& in) {
  LogitsPiece out;
  out.step = in.step();
  out.block.sequence = {in.sequence()};
  FACET_RETURN_IF_ERROR(CheckPosition(in.first_position(), "first_position"));
  FACET_RETURN_IF_ERROR(
      CheckField(in.rows() >= 0 && in.rows() <= kMaxSliceTokens, "rows",
                 in.rows(), "0 to 2^24"));
  FACET_RETURN_IF_ERROR(CheckNotNegative(in.vocab_begin(), "vocab_begin"));
  FACET_RETURN_IF_ERROR(
      CheckField(in.vocab_end() >= in.vocab_begin() &&
                     in.vocab_end() <= std::numeric_limits<int32_t>::max(),
                 "vocab_end", in.vocab_end(), "vocab_begin to 2^31 - 1"));
  // Both factors are bounded above, so this cannot overflow.
  const int64_t values = in.rows() * (in.vocab_end() - in.vocab_begin());
  FACET_RETURN_IF_ERROR(
      CheckCount(in.values_size(), kMaxPieceValues, "values"));
  FACET_RETURN_IF_ERROR(
      CheckField(in.offset() >= 0 && in.offset() <= values - in.values_size(),
                 "offset", in.offset(), "a run of values inside the block"));
  out.block.first_position = in.first_position();
  out.block.rows = in.rows();
  out.block.vocab_begin = in.vocab_begin();
  out.block.vocab_end = in.vocab_end();
  out.offset = in.offset();
  out.values.assign(in.values().begin(), in.values().end());
  return out;
}

void Fill(const PromptLogprobsPiece& in, v1::PromptLogprobs& out) {
  out.set_step(in.step);
  for (const PromptLogprob& entry : in.logprobs) {
    v1::PromptLogprobs::Entry& to = *out.add_entries();
    to.set_sequence(entry.sequence.value);
    to.set_position(entry.position);
    to.set_token(entry.token);
    to.set_logprob(entry.logprob);
    for (const TokenLogprob& top : entry.top) {
      to.add_top_tokens(top.token);
      to.add_top_logprobs(top.logprob);
    }
  }
}

absl::StatusOr<PromptLogprobsPiece> Parse(const v1::PromptLogprobs& in) {
  PromptLogprobsPiece out;
  out.step = in.step();
  FACET_RETURN_IF_ERROR(
      CheckCount(in.entries_size(), kMaxPieceLogprobs, "entries"));
  out.logprobs.reserve(in.entries_size());
  for (const v1::PromptLogprobs::Entry& entry : in.entries()) {
    FACET_RETURN_IF_ERROR(CheckPosition(entry.position(), "entries.position"));
    FACET_RETURN_IF_ERROR(CheckNotNegative(entry.token(), "entries.token"));
    FACET_RETURN_IF_ERROR(CheckCount(entry.top_tokens_size(), kMaxTopLogprobs,
                                     "entries.top_tokens"));
    FACET_RETURN_IF_ERROR(
        CheckField(entry.top_logprobs_size() == entry.top_tokens_size(),
                   "entries.top_logprobs", entry.top_logprobs_size(),
                   "as many as entries.top_tokens"));
    PromptLogprob to;
    to.sequence = {entry.sequence()};
    to.position = entry.position();
    to.token = entry.token();
    to.logprob = entry.logprob();
    to.top.reserve(entry.top_tokens_size());
    for (int i = 0; i < entry.top_tokens_size(); ++i) {
      FACET_RETURN_IF_ERROR(
          CheckNotNegative(entry.top_tokens(i), "entries.top_tokens"));
      to.top.push_back({entry.top_tokens(i), entry.top_logprobs(i)});
    }
    out.logprobs.push_back(std::move(to));
  }
  return out;
}

}  // namespace facet
