#include "rpc/coordinator/testing/fake_text_model.h"

#include <utility>

#include "absl/status/status.h"
#include "kernels/base/check.h"

namespace facet {

TextModel FakeTextModel(int64_t context_tokens) {
  auto tokenizer = Tokenizer::Load("tests/testdata/tokenizer");
  FACET_CHECK(tokenizer.ok());
  TextModel model{"fake", {}, *std::move(tokenizer),
                  {},     {}, absl::NotFoundError("no template")};
  model.config.vocab_size = model.tokenizer->vocab_size();
  model.config.sliding_window = 12;
  model.config.max_position_embeddings = context_tokens;
  return model;
}

FakeExecutorOptions FakeExecutorFor(const TextModel& model,
                                    int64_t sliding_pages,
                                    int64_t global_pages) {
  FakeExecutorOptions fake;
  fake.pools.page_tokens = 16;
  fake.pools.sliding_pages = sliding_pages;
  fake.pools.global_pages = global_pages;
  fake.vocab_size = model.config.vocab_size;
  fake.sliding_window = model.config.sliding_window;
  return fake;
}

}  // namespace facet
