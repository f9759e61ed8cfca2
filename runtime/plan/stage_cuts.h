// Where a model may be cut into pipeline stages, and where best.
#ifndef FACET_RUNTIME_PLAN_STAGE_CUTS_H_
#define FACET_RUNTIME_PLAN_STAGE_CUTS_H_

#include <vector>

#include "runtime/config/model_config.h"

namespace facet {

// Layers before which a stage may begin, rising, 0 first: no layer at or after
// the cut reads the K/V of a layer before it.
std::vector<int> LegalStageBegins(const ModelConfig& model);

// Layers of each of `stages` stages, cut at legal places so that the heaviest
// stage is as light as can be and, among those cuts, the stages are as even as
// can be. The last stage carries the head too.
// REQUIRES: 1 <= stages <= LegalStageBegins(model).size().
std::vector<int> BalanceStages(const ModelConfig& model, int stages);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_STAGE_CUTS_H_
