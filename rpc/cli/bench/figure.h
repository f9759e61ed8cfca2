// What a benchmark says: figures, each held against a limit of the same run
// where there is one.
#ifndef FACET_RPC_CLI_BENCH_FIGURE_H_
#define FACET_RPC_CLI_BENCH_FIGURE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "kernels/machine_limits/machine_limits.h"

namespace facet {

struct Figure {
  std::string group;  // "decode"
  std::string name;   // "tokens_per_s"
  std::string unit;   // "tokens/s"
  Rate value;         // median, min and max of the repetitions
  // 0: the figure has none.
  double limit = 0;
  std::string limit_name;
  // Of each repetition to the limit right around it; all 0 where `limit` is of
  // the whole run.
  Rate ratio;

  // Rates strive for 1 from below; times and memory, where less is better, from
  // above.
  double fraction() const {
    if (ratio.median > 0) return ratio.median;
    return limit > 0 ? value.median / limit : 0;
  }
};

struct BenchReport {
  // What was measured, in order: model, instruction set, threads …
  std::vector<std::pair<std::string, std::string>> setting;
  std::vector<Figure> figures;
  // What a reader has to know before believing them.
  std::vector<std::string> notes;
};

// A value without spread.
Rate Once(double value);

// The value that `percent` of `values` do not exceed. REQUIRES: not empty.
double Percentile(absl::Span<const double> values, double percent);

std::string ToTable(const BenchReport& report);
std::string ToJson(const BenchReport& report);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_FIGURE_H_
