// The golden checkpoints on clusters of every shape.
#ifndef FACET_TESTS_INVARIANCE_TINY_MODELS_H_
#define FACET_TESTS_INVARIANCE_TINY_MODELS_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "runtime/executor/rank_runner.h"
#include "tests/support/forward.h"

namespace facet {

std::string TinyDirectory(const std::string& name);
ModelConfig TinyConfig(const std::string& name);
std::vector<TokenIds> TinyPrompts(const std::string& name);

// tp x pp ranks, experts divided where there are any; the test fails and null
// comes back when it does not form.
std::unique_ptr<Executor> TinyCluster(const std::string& name, int tp_size,
                                      int pp_size);

// Pages handed back behind the window.
ForwardOptions TinyForward(const std::string& name);

// "dense" of "dense-tiny", for names of parameterised tests.
std::string TinyName(const std::string& name);

// Where two continuations differ in a token or a bit of a log-probability; ""
// where nowhere.
std::string Difference(const std::vector<Continuation>& a,
                       const std::vector<Continuation>& b);

}  // namespace facet

#endif  // FACET_TESTS_INVARIANCE_TINY_MODELS_H_
