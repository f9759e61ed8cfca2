#include "runtime/executor/fake_executor.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr uint64_t kNoTokens = 1;  // hash of none

uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

uint64_t HashBehind(uint64_t hash, int32_t token) {
  return Mix(hash ^ Mix(token + 1));
}

uint64_t HashOf(absl::Span<const int32_t> tokens) {
  uint64_t hash = kNoTokens;
  for (const int32_t token : tokens) hash = HashBehind(hash, token);
  return hash;
}

float LogitBehind(uint64_t hash, int64_t id, int64_t vocab_size) {
  const int64_t best = static_cast<int64_t>(hash % vocab_size);
  if (id == best) return 2.0f;
  return static_cast<float>(Mix(best * vocab_size + id) % 1000) / 1000.0f;
}

float LogprobBehind(uint64_t hash, int32_t id) {
  return -static_cast<float>(Mix(hash ^ Mix(id)) % 1000) / 100.0f;
}

bool Allows(const TokenMask& mask, int64_t id) {
  return (mask[id / 64] >> (id % 64) & 1) != 0;
}

// -1: no token is allowed.
int32_t BestBehind(uint64_t hash, int64_t vocab_size, const TokenMask* mask,
                   absl::Span<const TokenBias> bias) {
  if (mask == nullptr && bias.empty()) {
    return static_cast<int32_t>(hash % vocab_size);
  }
  std::vector<float> logits(vocab_size);
  for (int64_t id = 0; id < vocab_size; ++id) {
    logits[id] = LogitBehind(hash, id, vocab_size);
  }
  for (const TokenBias& one : bias) logits[one.token] += one.bias;
  int32_t best = -1;
  for (int64_t id = 0; id < vocab_size; ++id) {
    if (mask != nullptr && !Allows(*mask, id)) continue;
    if (best < 0 || logits[id] > logits[best]) best = static_cast<int32_t>(id);
  }
  return best;
}

std::vector<TokenLogprob> TopBehind(uint64_t hash, int32_t token, int count,
                                    int64_t vocab_size) {
  std::vector<TokenLogprob> top;
  for (int k = 0; k < count; ++k) {
    const auto id = static_cast<int32_t>((token + k) % vocab_size);
    top.push_back({id, LogprobBehind(hash, id)});
  }
  return top;
}

template <typename... Parts>
absl::Status Refuse(const SequenceSlice& slice, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(
      "sequence ", slice.sequence.value, " at ", slice.start, ": ", parts...));
}

}  // namespace

FakeExecutor::FakeExecutor(FakeExecutorOptions options)
    : options_(std::move(options)) {
  Reset();
}

absl::Status FakeExecutor::Resume() {
  if (options_.resume == nullptr) return Executor::Resume();
  const absl::Status status = options_.resume();
  if (status.ok()) Reset();
  return status;
}

void FakeExecutor::Reset() {
  const KvPoolSizes& sizes = options_.pools;
  sliding_.holders.assign(sizes.sliding_pages, 0);
  sliding_.entries.assign(int64_t{sizes.sliding_pages} * sizes.page_tokens, {});
  global_.holders.assign(sizes.global_pages, 0);
  global_.entries.assign(int64_t{sizes.global_pages} * sizes.page_tokens, {});
  tables_.clear();
  unfinished_.clear();
  last_step_ = 0;
}

int32_t FakeExecutor::NextToken(absl::Span<const int32_t> tokens,
                                int64_t vocab_size, const TokenMask* mask,
                                absl::Span<const TokenBias> bias) {
  return BestBehind(HashOf(tokens), vocab_size, mask, bias);
}

float FakeExecutor::Logit(absl::Span<const int32_t> tokens, int64_t id,
                          int64_t vocab_size) {
  return LogitBehind(HashOf(tokens), id, vocab_size);
}

float FakeExecutor::Logprob(absl::Span<const int32_t> tokens, int32_t id) {
  return LogprobBehind(HashOf(tokens), id);
}

int64_t FakeExecutor::pages_held() const {
  const auto held = [](const Pool& pool) {
    return std::count_if(pool.holders.begin(), pool.holders.end(),
                         [](int32_t holders) { return holders != 0; });
  };
  return held(sliding_) + held(global_);
}

FakeExecutor::Entry& FakeExecutor::At(Pool* pool,
                                      const std::vector<PageId>& table,
                                      int64_t position) {
  const int page_tokens = options_.pools.page_tokens;
  return pool
      ->entries[int64_t{table[position / page_tokens].value} * page_tokens +
                position % page_tokens];
}

absl::Status FakeExecutor::Start(const StepPlan& plan) {
  FACET_CHECK(static_cast<int>(unfinished_.size()) <= options_.stages);
  if (options_.before_step) {
    const absl::Status status = options_.before_step(plan);
    if (!status.ok()) {
      unfinished_.clear();
      return status;
    }
  }
  if (last_step_ == 0) finished_step_ = plan.step - 1;
  const bool in_order = last_step_ == 0 || plan.step == last_step_ + 1;
  if (!in_order || plan.completed > finished_step_) {
    unfinished_.clear();
    return absl::InvalidArgumentError(
        absl::StrCat("step ", plan.step, " after ", last_step_, ", completed ",
                     plan.completed, " of ", finished_step_));
  }
  last_step_ = plan.step;
  unfinished_.push_back(plan);
  return absl::OkStatus();
}

absl::StatusOr<StepResult> FakeExecutor::Finish() {
  FACET_CHECK(!unfinished_.empty());
  const StepPlan plan = std::move(unfinished_.front());
  unfinished_.pop_front();
  absl::StatusOr<StepResult> result = Run(plan);
  finished_step_ = plan.step;
  if (!result.ok()) unfinished_.clear();
  return result;
}

absl::Status FakeExecutor::Forget(SequenceId sequence) {
  const auto found = tables_.find(sequence);
  if (found == tables_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown sequence ", sequence.value, " finished"));
  }
  const Table& table = found->second;
  for (size_t i = table.sliding_first_page; i < table.sliding.size(); ++i) {
    --sliding_.holders[table.sliding[i].value];
  }
  for (const PageId page : table.global) --global_.holders[page.value];
  tables_.erase(found);
  return absl::OkStatus();
}

// Takes shared pages in, and checks that they hold one continuous prefix.
absl::Status FakeExecutor::Begin(const SequenceSlice& slice) {
  if (!slice.begins.has_value()) {
    if (tables_.contains(slice.sequence)) return absl::OkStatus();
    return Refuse(slice, "unknown, and does not begin");
  }
  const int page_tokens = options_.pools.page_tokens;
  const auto [found, is_new] = tables_.try_emplace(slice.sequence);
  if (!is_new) return Refuse(slice, "begins again");
  if (slice.start % page_tokens != 0) return Refuse(slice, "inside a page");
  Table& table = found->second;
  table.start = *slice.begins;
  table.computed = slice.start;
  table.sliding_first_page = slice.sliding_first_page;
  const int64_t shared = slice.start / page_tokens;
  const int64_t shared_sliding = shared - slice.sliding_first_page;
  if (shared_sliding < 0 ||
      static_cast<int64_t>(slice.new_global_pages.size()) < shared ||
      static_cast<int64_t>(slice.new_sliding_pages.size()) < shared_sliding) {
    return Refuse(slice, "shared pages are missing");
  }
  table.sliding.assign(slice.sliding_first_page, PageId{-1});
  const auto take = [&](const std::vector<PageId>& pages, int64_t count,
                        Pool* pool, std::vector<PageId>* into) {
    for (int64_t i = 0; i < count; ++i) {
      const int32_t page = pages[i].value;
      if (page < 0 || page >= static_cast<int64_t>(pool->holders.size())) {
        return Refuse(slice, "no page ", page);
      }
      ++pool->holders[page];
      into->push_back(pages[i]);
    }
    return absl::OkStatus();
  };
  FACET_RETURN_IF_ERROR(
      take(slice.new_global_pages, shared, &global_, &table.global));
  FACET_RETURN_IF_ERROR(
      take(slice.new_sliding_pages, shared_sliding, &sliding_, &table.sliding));
  table.hash = kNoTokens;
  for (int64_t i = 0; i < slice.start; ++i) {
    const Entry& entry = At(&global_, table.global, i);
    if (entry.token < 0) return Refuse(slice, "shares an empty page");
    table.hash = HashBehind(table.hash, entry.token);
  }
  FACET_RETURN_IF_ERROR(Read(slice, 0));
  const bool earlier_wanted = slice.sampling.Penalises();
  if (table.start.earlier_tokens !=
      (earlier_wanted ? Tokens(table) : std::vector<int32_t>())) {
    return Refuse(slice, "earlier_tokens differ from those in its pages");
  }
  return absl::OkStatus();
}

absl::Status FakeExecutor::ReleaseBehindWindow(const SequenceSlice& slice) {
  Table& table = tables_.at(slice.sequence);
  if (slice.sliding_first_page < table.sliding_first_page ||
      slice.sliding_first_page > static_cast<int64_t>(table.sliding.size())) {
    return Refuse(slice, "sliding_first_page out of range");
  }
  for (; table.sliding_first_page < slice.sliding_first_page;
       ++table.sliding_first_page) {
    --sliding_.holders[table.sliding[table.sliding_first_page].value];
  }
  return absl::OkStatus();
}

absl::Status FakeExecutor::TakeFresh(const SequenceSlice& slice, size_t begin,
                                     const std::vector<PageId>& pages,
                                     Pool* pool) {
  const int page_tokens = options_.pools.page_tokens;
  for (size_t i = begin; i < pages.size(); ++i) {
    const int32_t page = pages[i].value;
    if (page < 0 || page >= static_cast<int64_t>(pool->holders.size())) {
      return Refuse(slice, "no page ", page);
    }
    if (pool->holders[page] != 0) {
      return Refuse(slice, "page ", page, " belongs to another sequence");
    }
    pool->holders[page] = 1;
    const auto first = pool->entries.begin() + int64_t{page} * page_tokens;
    std::fill(first, first + page_tokens, Entry());
  }
  return absl::OkStatus();
}

absl::Status FakeExecutor::Append(const SequenceSlice& slice) {
  Table& table = tables_.at(slice.sequence);
  if (slice.tokens.empty()) return Refuse(slice, "no tokens");
  if (slice.start != table.computed) {
    return Refuse(slice, "a gap, ", table.computed, " expected");
  }
  // Begin() has taken the shared ones.
  size_t shared_sliding = 0;
  size_t shared_global = 0;
  if (slice.begins.has_value()) {
    shared_global = slice.start / options_.pools.page_tokens;
    shared_sliding = shared_global - slice.sliding_first_page;
  }
  FACET_RETURN_IF_ERROR(
      TakeFresh(slice, shared_sliding, slice.new_sliding_pages, &sliding_));
  FACET_RETURN_IF_ERROR(
      TakeFresh(slice, shared_global, slice.new_global_pages, &global_));
  table.sliding.insert(table.sliding.end(),
                       slice.new_sliding_pages.begin() + shared_sliding,
                       slice.new_sliding_pages.end());
  table.global.insert(table.global.end(),
                      slice.new_global_pages.begin() + shared_global,
                      slice.new_global_pages.end());
  table.computed += static_cast<int64_t>(slice.tokens.size());
  const int64_t reach = static_cast<int64_t>(std::min(table.sliding.size(),
                                                      table.global.size())) *
                        options_.pools.page_tokens;
  if (reach < table.computed) {
    return Refuse(slice, "tables reach ", reach, " only");
  }
  return absl::OkStatus();
}

absl::Status FakeExecutor::Write(const SequenceSlice& slice) {
  Table& table = tables_.at(slice.sequence);
  for (size_t i = 0; i < slice.tokens.size(); ++i) {
    int32_t token = slice.tokens[i];
    if (token == kSampledToken) {
      if (!table.next_was_drawn || slice.tokens.size() != 1) {
        return Refuse(slice, "no token was drawn here");
      }
      token = *table.next;
    } else if (table.next.has_value() && *table.next != token) {
      return Refuse(slice, "token ", token, " in place of ", *table.next);
    }
    table.next.reset();
    table.next_was_drawn = false;
    const int64_t position = slice.start + static_cast<int64_t>(i);
    const int64_t page = position / options_.pools.page_tokens;
    if (sliding_.holders[table.sliding[page].value] != 1 ||
        global_.holders[table.global[page].value] != 1) {
      return Refuse(slice, "writes to a page of others at ", position);
    }
    table.hash = HashBehind(table.hash, token);
    At(&sliding_, table.sliding, position) = {token, table.hash};
    At(&global_, table.global, position) = {token, table.hash};
  }
  return absl::OkStatus();
}

// Reads positions from `from` on, as far as the layers see them.
absl::Status FakeExecutor::Read(const SequenceSlice& slice, int64_t from) {
  Table& table = tables_.at(slice.sequence);
  const int page_tokens = options_.pools.page_tokens;
  const int64_t seen =
      std::max<int64_t>(0, slice.start - options_.sliding_window + 1);
  if (seen / page_tokens < table.sliding_first_page) {
    return Refuse(slice, "a page inside the window was taken back");
  }
  uint64_t hash =
      from == 0 ? kNoTokens : At(&global_, table.global, from - 1).hash;
  for (int64_t i = from; i < table.computed; ++i) {
    const Entry& entry = At(&global_, table.global, i);
    hash = HashBehind(hash, entry.token);
    if (entry.token < 0 || entry.hash != hash) {
      return Refuse(slice, "position ", i, " holds something else");
    }
    if (i >= seen && At(&sliding_, table.sliding, i).hash != hash) {
      return Refuse(slice, "position ", i, " differs between the pools");
    }
  }
  if (hash != table.hash) return Refuse(slice, "holds another sequence");
  return absl::OkStatus();
}

std::vector<int32_t> FakeExecutor::Tokens(const Table& table) {
  std::vector<int32_t> tokens(table.computed);
  for (int64_t i = 0; i < table.computed; ++i) {
    tokens[i] = At(&global_, table.global, i).token;
  }
  return tokens;
}

absl::StatusOr<int32_t> FakeExecutor::Draw(const SequenceSlice& slice,
                                           const Table& table) const {
  const SequenceStart& start = table.start;
  const TokenMask* mask = slice.mask.get();
  TokenMask allowed;
  if (table.computed < start.late_position && !start.late_tokens.empty()) {
    allowed = mask != nullptr
                  ? *mask
                  : TokenMask((options_.vocab_size + 63) / 64, ~uint64_t{0});
    for (const int32_t id : start.late_tokens) {
      allowed[id / 64] &= ~(uint64_t{1} << (id % 64));
    }
    mask = &allowed;
  }
  const int32_t token =
      BestBehind(table.hash, options_.vocab_size, mask, start.logit_bias);
  if (token < 0) return Refuse(slice, "no token may be drawn");
  return token;
}

absl::Status FakeExecutor::AnswerPrompt(const SequenceSlice& slice,
                                        StepResult* result) {
  Table& table = tables_.at(slice.sequence);
  if (slice.prompt_logprobs < 0) return absl::OkStatus();
  const bool ends = table.computed >= table.start.prompt_tokens;
  if (ends != (slice.next_prompt_token < 0)) {
    return Refuse(slice, "next_prompt_token ", slice.next_prompt_token);
  }
  if (!ends) table.next = slice.next_prompt_token;
  const int64_t last = std::min(table.computed, table.start.prompt_tokens - 1);
  for (int64_t position = slice.start + 1; position <= last; ++position) {
    const uint64_t hash = At(&global_, table.global, position - 1).hash;
    const int32_t id = position < table.computed
                           ? At(&global_, table.global, position).token
                           : slice.next_prompt_token;
    PromptLogprob logprob;
    logprob.sequence = slice.sequence;
    logprob.position = position;
    logprob.logprob = LogprobBehind(hash, id);
    logprob.top =
        TopBehind(hash, id, slice.prompt_logprobs, options_.vocab_size);
    result->prompt_logprobs.push_back(std::move(logprob));
  }
  return absl::OkStatus();
}

void FakeExecutor::AnswerLogits(const SequenceSlice& slice,
                                StepResult* result) {
  if (slice.logits == LogitsWanted::kNone) return;
  const Table& table = tables_.at(slice.sequence);
  for (int b = 0; b < options_.logits_blocks; ++b) {
    LogitsBlock block;
    block.sequence = slice.sequence;
    block.first_position =
        slice.logits == LogitsWanted::kAll ? slice.start : table.computed - 1;
    block.rows = table.computed - block.first_position;
    block.vocab_begin = options_.vocab_size * b / options_.logits_blocks;
    block.vocab_end = options_.vocab_size * (b + 1) / options_.logits_blocks;
    for (int64_t row = block.first_position; row < table.computed; ++row) {
      const uint64_t hash = At(&global_, table.global, row).hash;
      for (int64_t id = block.vocab_begin; id < block.vocab_end; ++id) {
        block.values.push_back(LogitBehind(hash, id, options_.vocab_size));
      }
    }
    result->logits.push_back(std::move(block));
  }
}

absl::Status FakeExecutor::Answer(const SequenceSlice& slice,
                                  StepResult* result) {
  Table& table = tables_.at(slice.sequence);
  FACET_RETURN_IF_ERROR(AnswerPrompt(slice, result));
  if (slice.sample) {
    FACET_ASSIGN_OR_RETURN(const int32_t id, Draw(slice, table));
    SampledToken token;
    token.sequence = slice.sequence;
    token.token = id;
    if (slice.sampling.logprob) token.logprob = LogprobBehind(table.hash, id);
    token.top = TopBehind(table.hash, id, slice.sampling.top_logprobs,
                          options_.vocab_size);
    result->tokens.push_back(std::move(token));
    table.next = id;
    table.next_was_drawn = true;
  }
  AnswerLogits(slice, result);
  return absl::OkStatus();
}

absl::StatusOr<StepResult> FakeExecutor::Run(const StepPlan& plan) {
  size_t step_tokens = 0;
  for (const SequenceSlice& slice : plan.slices) {
    step_tokens += slice.tokens.size();
    if (absl::c_linear_search(plan.finished, slice.sequence)) {
      return Refuse(slice, "has a slice though it ended");
    }
  }
  if (step_tokens > static_cast<size_t>(options_.max_step_tokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat(step_tokens, " tokens in one step"));
  }
  for (const SequenceId id : plan.finished) FACET_RETURN_IF_ERROR(Forget(id));
  // Releases of all slices come before grants of any: a page may change hands
  // within a step, as nobody reads behind its window. What is shared comes
  // before what is written.
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(Begin(slice));
  }
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(ReleaseBehindWindow(slice));
  }
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(Append(slice));
  }
  for (const SequenceSlice& slice : plan.slices) {
    FACET_RETURN_IF_ERROR(Write(slice));
  }
  StepResult result;
  result.step = plan.step;
  for (const SequenceSlice& slice : plan.slices) {
    const int64_t seen =
        std::max<int64_t>(0, slice.start - options_.sliding_window + 1);
    FACET_RETURN_IF_ERROR(Read(slice, options_.read_everything ? 0 : seen));
    FACET_RETURN_IF_ERROR(Answer(slice, &result));
  }
  return result;
}

}  // namespace facet
