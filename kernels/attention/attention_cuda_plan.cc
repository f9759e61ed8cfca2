#include "kernels/attention/attention_cuda_plan.h"

#include <algorithm>

#include "kernels/attention/attention_tensor_cuda_plan.h"

namespace facet {
namespace {

// Blocks that keep a large GPU busy; with as many row groups, splits of one
// group may as well follow each other in one block.
constexpr int64_t kEnoughItems = 264;

int64_t FirstSeen(const AttentionArgs& args, int64_t token) {
  const int64_t position = args.first_position + token;
  return args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
}

// One item per group of rows, all splits of it.
void AddItems(const AttentionArgs& args, int32_t sequence,
              AttentionPlan& plan) {
  const int most = plan.rows_per_item;
  const int offset = args.query_head_offset % args.heads_per_kv;
  for (int head = 0; head < args.query_heads;) {
    const int kv_head = (head + offset) / args.heads_per_kv;
    int heads = 1;
    while (head + heads < args.query_heads &&
           (head + heads + offset) / args.heads_per_kv == kv_head &&
           heads < most) {
      ++heads;
    }
    const int64_t step = most / heads;
    for (int64_t token = 0; token < args.tokens; token += step) {
      AttentionItem item;
      item.sequence = sequence;
      item.kv_head = kv_head;
      item.first_head = head;
      item.heads = heads;
      item.token_begin = static_cast<int32_t>(token);
      item.tokens =
          static_cast<int32_t>(std::min<int64_t>(step, args.tokens - token));
      const int64_t last = args.first_position + token + item.tokens - 1;
      item.split_begin =
          static_cast<int32_t>(FirstSeen(args, token) / kAttentionSplit);
      item.split_end = static_cast<int32_t>(last / kAttentionSplit + 1);
      plan.most_rows = std::max(plan.most_rows, heads * item.tokens);
      plan.items.push_back(item);
    }
    head += heads;
  }
}

void SpreadSplits(AttentionPlan& plan) {
  const int64_t groups = static_cast<int64_t>(plan.items.size());
  int64_t states = 0;
  for (const AttentionItem& item : plan.items) {
    const int splits = item.split_end - item.split_begin;
    if (splits > 1) states += splits;
  }
  if (groups >= kEnoughItems ||
      states * plan.rows_per_item >
          kMostAttentionStates * kDeviceAttentionRows) {
    return;
  }
  std::vector<AttentionItem> whole;
  whole.swap(plan.items);
  for (AttentionItem item : whole) {
    const int32_t begin = item.split_begin, end = item.split_end;
    if (end - begin == 1) {
      plan.items.push_back(item);
      continue;
    }
    plan.merges.push_back(
        {static_cast<int32_t>(plan.items.size()), end - begin});
    for (int32_t split = begin; split < end; ++split) {
      item.split_begin = split;
      item.split_end = split + 1;
      item.state = static_cast<int32_t>(plan.states++);
      plan.items.push_back(item);
    }
  }
}

}  // namespace

AttentionPlan PlanAttention(absl::Span<const AttentionArgs> sequences) {
  AttentionPlan plan;
  if (sequences.empty()) return plan;
  plan.rows_per_item = AttentionUsesTensorCores(sequences[0])
                           ? TensorAttentionRows(sequences[0].head_dim)
                           : kDeviceAttentionRows;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const AttentionArgs& args = sequences[i];
    DeviceSequence sequence;
    sequence.q_offset = args.q - sequences[0].q;
    sequence.y_offset = args.y - sequences[0].y;
    sequence.first_position = args.first_position;
    sequence.pages_begin = static_cast<int64_t>(plan.pages.size());
    // Pages before the first key seen may be gone from the table.
    sequence.first_page = args.first_page;
    const int64_t last = args.first_position + args.tokens - 1;
    const int64_t pages = last / args.page_tokens - args.first_page + 1;
    plan.pages.insert(plan.pages.end(), args.pages, args.pages + pages);
    plan.sequences.push_back(sequence);
    AddItems(args, static_cast<int32_t>(i), plan);
  }
  SpreadSplits(plan);
  return plan;
}

}  // namespace facet
