#include "scheduler/simulate/random_run.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "scheduler/simulate/random_options.h"

namespace facet {

absl::StatusOr<RunFacts> CheckRandomRun(uint64_t seed,
                                        const Tampering& tampering) {
  const SimulationOptions options = RandomOptions(seed);
  RunChecker checker(options.limits, tampering);
  FACET_ASSIGN_OR_RETURN(const SimulationReport report,
                         Simulate(options, &checker));
  FACET_RETURN_IF_ERROR(checker.AtTheEnd());
  if (report.completed + report.cancelled + report.expired + report.refused +
          report.turned_away !=
      report.requests) {
    return absl::InternalError("requests do not add up");
  }
  RunFacts facts = checker.facts();
  facts.runs = 1;
  facts.preemptions = report.preemptions;
  facts.prefix_hits = report.prefix_hits;
  facts.failures = report.failures;
  facts.cancelled = report.cancelled + report.expired;
  return facts;
}

std::string HowToRepeat(uint64_t seed) {
  return absl::StrCat("bazel run //scheduler:simulate -- --check --seed=",
                      seed);
}

}  // namespace facet
