// A model of texts without weights, for tests of what stands before an engine.
#ifndef FACET_RPC_COORDINATOR_TESTING_FAKE_TEXT_MODEL_H_
#define FACET_RPC_COORDINATOR_TESTING_FAKE_TEXT_MODEL_H_

#include <cstdint>

#include "rpc/coordinator/text_model.h"
#include "runtime/executor/fake_executor.h"

namespace facet {

// "fake", with the tokenizer of tests/testdata, windows of 12 tokens and no
// conversations.
TextModel FakeTextModel(int64_t context_tokens);

// What its steps run on, with pages of 16 tokens.
FakeExecutorOptions FakeExecutorFor(const TextModel& model,
                                    int64_t sliding_pages,
                                    int64_t global_pages);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_TESTING_FAKE_TEXT_MODEL_H_
