#include "scheduler/batching/prefill_budget.h"

#include <algorithm>

namespace facet {

void DividePrefillBudget(int64_t budget, std::vector<PrefillWish>* wishes) {
  const auto give = [&](PrefillWish* wish, int64_t at_most) {
    const int64_t tokens = std::min(at_most, wish->most - wish->chunk);
    wish->chunk += tokens;
    budget -= tokens;
  };
  std::vector<PrefillWish*> able;
  for (PrefillWish& wish : *wishes) {
    wish.chunk = 0;
    if (wish.most > 0) able.push_back(&wish);
  }
  if (able.empty()) return;
  PrefillWish* const first = able.front();
  give(first, (budget + 1) / 2);
  std::stable_sort(able.begin() + 1, able.end(),
                   [](const PrefillWish* a, const PrefillWish* b) {
                     return a->left < b->left;
                   });
  for (auto wish = able.begin() + 1; wish != able.end() && budget > 0; ++wish) {
    give(*wish, budget);
  }
  give(first, budget);
}

}  // namespace facet
