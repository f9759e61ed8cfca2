#include "runtime/executor/sample_step.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "kernels/base/status_macros.h"
#include "kernels/sampling/sampling.h"

namespace facet {
namespace {

// Rows of logits in memory at once.
constexpr int64_t kRowsAtOnce = 64;
// A longer list of candidates costs more than the row itself.
constexpr int kMaxCandidates = 1024;

struct SampledRow {
  const SequenceSlice* slice;
  int64_t row;  // of the step

  bool WantsLogprobs() const {
    return slice->sampling.logprob || slice->sampling.top_logprobs > 0;
  }
  // How many of the best tokens decide; 0: all of them.
  int Candidates() const {
    const SamplingParams& sampling = slice->sampling;
    const int top = std::max(1, sampling.top_logprobs);
    if (sampling.temperature <= 0) return top;
    if (sampling.top_k == 0 || sampling.top_k > kMaxCandidates) return 0;
    return std::max(top, sampling.top_k);
  }
  int64_t drawn_position() const {
    return slice->start + static_cast<int64_t>(slice->tokens.size());
  }
};

// What one rank contributes to one row.
struct RowPart {
  std::vector<TokenLogit> best;
  std::vector<ExpSum> sums;  // of this rank's virtual slices of the vocabulary
};

class Sampler {
 public:
  Sampler(const ModelConfig& config, const ShardPlan& shards, int rank,
          Model& model, Communicator& tp)
      : config_(config),
        shards_(shards),
        shard_(shards.shard(rank)),
        model_(model),
        tp_(tp),
        local_slices_(shards.virtual_shards() / shards.tp_size()) {}

  absl::Status Blocks(const StepPlan& plan, StepResult& result) {
    int64_t first_row = 0;
    for (const SequenceSlice& slice : plan.slices) {
      const int64_t count = static_cast<int64_t>(slice.tokens.size());
      const int64_t begin = slice.logits == LogitsWanted::kAll    ? 0
                            : slice.logits == LogitsWanted::kLast ? count - 1
                                                                  : count;
      for (int64_t at = begin; at < count; at += kRowsAtOnce) {
        std::vector<int64_t> rows;
        for (int64_t i = at; i < std::min(count, at + kRowsAtOnce); ++i) {
          rows.push_back(first_row + i);
        }
        LogitsBlock block;
        block.sequence = slice.sequence;
        block.first_position = slice.start + at;
        block.rows = static_cast<int64_t>(rows.size());
        block.vocab_begin = shard_.vocab.begin;
        block.vocab_end = shard_.vocab.end;
        block.values.resize(block.rows * shard_.vocab.size());
        model_.Logits(rows, absl::MakeSpan(block.values));
        result.logits.push_back(std::move(block));
      }
      first_row += count;
    }
    return absl::OkStatus();
  }

  absl::Status Sample(const StepPlan& plan, StepResult& result) {
    std::vector<SampledRow> rows;
    int64_t end = 0;
    for (const SequenceSlice& slice : plan.slices) {
      end += static_cast<int64_t>(slice.tokens.size());
      if (slice.sample) rows.push_back({&slice, end - 1});
    }
    for (size_t at = 0; at < rows.size(); at += kRowsAtOnce) {
      const size_t count = std::min<size_t>(kRowsAtOnce, rows.size() - at);
      FACET_RETURN_IF_ERROR(
          SampleSome(absl::MakeConstSpan(rows).subspan(at, count), result));
    }
    return absl::OkStatus();
  }

 private:
  // Virtual slice `i` of this rank's vocabulary; ranks own whole ones.
  IndexRange VocabSlice(int i) const {
    return ShardPlan::VocabSlice(config_.vocab_size, shards_.virtual_shards(),
                                 shard_.tp_rank * local_slices_ + i);
  }

  absl::Status SampleSome(absl::Span<const SampledRow> rows,
                          StepResult& result) {
    const int64_t vocab = shard_.vocab.size();
    std::vector<int64_t> indices;
    for (const SampledRow& row : rows) indices.push_back(row.row);
    logits_.resize(rows.size() * vocab);
    model_.Logits(indices, absl::MakeSpan(logits_));

    // parts[rank][row]
    std::vector<std::vector<RowPart>> parts(tp_.size());
    std::vector<RowPart>& mine = parts[shard_.tp_rank];
    for (size_t i = 0; i < rows.size(); ++i) {
      mine.push_back(Part(
          rows[i], absl::MakeConstSpan(logits_).subspan(i * vocab, vocab)));
    }
    if (tp_.size() > 1) FACET_RETURN_IF_ERROR(Exchange(rows, parts));
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<std::vector<TokenLogit>> lists;
      std::vector<ExpSum> sums;
      for (std::vector<RowPart>& of_rank : parts) {
        lists.push_back(std::move(of_rank[i].best));
        sums.insert(sums.end(), of_rank[i].sums.begin(), of_rank[i].sums.end());
      }
      FACET_ASSIGN_OR_RETURN(SampledToken token, Draw(rows[i], lists, sums));
      result.tokens.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  RowPart Part(const SampledRow& row, absl::Span<const float> logits) const {
    RowPart part;
    const int wanted = row.Candidates();
    part.best =
        TopLogits(logits, static_cast<int32_t>(shard_.vocab.begin),
                  wanted == 0 ? static_cast<int>(logits.size()) : wanted);
    if (row.WantsLogprobs()) {
      for (int s = 0; s < local_slices_; ++s) {
        const IndexRange slice = VocabSlice(s);
        part.sums.push_back(SumExp(
            logits.subspan(slice.begin - shard_.vocab.begin, slice.size())));
      }
    }
    return part;
  }

  // Every rank's list padded to one length, so that blocks are of one size.
  int64_t PaddedCandidates(const SampledRow& row) const {
    int64_t widest = 0;
    for (int r = 0; r < shards_.tp_size(); ++r) {
      widest = std::max(
          widest,
          shards_.shard(shard_.stage * shards_.tp_size() + r).vocab.size());
    }
    const int wanted = row.Candidates();
    return wanted == 0 ? widest : std::min<int64_t>(wanted, widest);
  }

  absl::Status Exchange(absl::Span<const SampledRow> rows,
                        std::vector<std::vector<RowPart>>& parts) {
    std::vector<TokenLogit> block;
    for (size_t i = 0; i < rows.size(); ++i) {
      const RowPart& part = parts[shard_.tp_rank][i];
      for (int64_t c = 0; c < PaddedCandidates(rows[i]); ++c) {
        block.push_back(c < static_cast<int64_t>(part.best.size())
                            ? part.best[c]
                            : TokenLogit{-1, 0});
      }
      for (const ExpSum& sum : part.sums) {
        block.push_back(std::bit_cast<TokenLogit>(sum));
      }
    }
    std::vector<TokenLogit> all(block.size() * tp_.size());
    const auto bytes = [](std::vector<TokenLogit>& v) {
      return absl::MakeSpan(reinterpret_cast<uint8_t*>(v.data()),
                            v.size() * sizeof(TokenLogit));
    };
    FACET_RETURN_IF_ERROR(tp_.AllGather(bytes(block), bytes(all)));
    size_t at = 0;
    for (int r = 0; r < tp_.size(); ++r) {
      parts[r].resize(rows.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        RowPart part;
        for (int64_t c = 0; c < PaddedCandidates(rows[i]); ++c) {
          const TokenLogit candidate = all[at++];
          if (candidate.token >= 0) part.best.push_back(candidate);
        }
        if (rows[i].WantsLogprobs()) {
          for (int s = 0; s < local_slices_; ++s) {
            part.sums.push_back(std::bit_cast<ExpSum>(all[at++]));
          }
        }
        parts[r][i] = std::move(part);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<SampledToken> Draw(
      const SampledRow& row, const std::vector<std::vector<TokenLogit>>& lists,
      const std::vector<ExpSum>& sums) const {
    const SamplingParams& sampling = row.slice->sampling;
    const int wanted = row.Candidates();
    const std::vector<TokenLogit> best = MergeTopLogits(
        lists, wanted == 0 ? static_cast<int>(config_.vocab_size) : wanted);
    if (best.empty()) {
      return absl::DataLossError(
          "step: every logit is a NaN, so the weights hold NaNs or infinities; "
          "--check-weights names the tensor");
    }
    DrawOptions options;
    options.temperature = sampling.temperature;
    options.top_k = sampling.top_k;
    options.top_p = sampling.top_p;
    options.min_p = sampling.min_p;
    options.seed = sampling.seed;
    options.position = row.drawn_position();
    SampledToken out;
    out.sequence = row.slice->sequence;
    out.token = facet::Draw(best, options);
    if (!row.WantsLogprobs()) return out;
    const float log_sum = CombineExpSums(sums);
    for (const TokenLogit& candidate : best) {
      if (candidate.token == out.token) out.logprob = candidate.logit - log_sum;
    }
    const size_t top = std::min<size_t>(sampling.top_logprobs, best.size());
    for (size_t i = 0; i < top; ++i) {
      out.top.push_back({best[i].token, best[i].logit - log_sum});
    }
    return out;
  }

  const ModelConfig& config_;
  const ShardPlan& shards_;
  const RankShard& shard_;
  Model& model_;
  Communicator& tp_;
  const int local_slices_;
  std::vector<float> logits_;
};

}  // namespace

absl::Status SampleStep(const StepPlan& plan, const ModelConfig& config,
                        const ShardPlan& shards, int rank, Model& model,
                        Communicator& tp, StepResult& result) {
  Sampler sampler(config, shards, rank, model, tp);
  FACET_RETURN_IF_ERROR(sampler.Blocks(plan, result));
  return sampler.Sample(plan, result);
}

}  // namespace facet
