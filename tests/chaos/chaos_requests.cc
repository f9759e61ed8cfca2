#include "tests/chaos/chaos_requests.h"

#include <bit>
#include <cstdint>
#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr const char* kTopics[] = {
    "What is a token?", "How does pipeline parallelism work?",
    "What do workers do when one of them fails?", "Was ist ein Token?",
    "Please explain the coordinator to me."};

// Several pages that many prompts begin with.
std::string SharedBeginning() {
  std::string text = "Notes.\n";
  for (int i = 0; i < 16; ++i) absl::StrAppend(&text, kTopics[i % 5], " ");
  return text;
}

}  // namespace

std::vector<TextRequest> ChaosRequests(int count, int max_tokens) {
  std::mt19937 random(7);
  std::vector<TextRequest> requests(count);
  for (int i = 0; i < count; ++i) {
    TextRequest& request = requests[i];
    request.kind = PromptKind::kText;
    request.text = absl::StrCat(i % 2 == 0 ? SharedBeginning() : "", "Part ", i,
                                ". ", kTopics[i % 5]);
    request.max_tokens = max_tokens / 2 + random() % (max_tokens / 2 + 1);
    request.ignore_eos = true;
    request.sampling.logprobs = true;
    request.sampling.temperature = i % 4 == 0 ? 0.0f : 0.9f;
    request.sampling.seed = random();
    switch (i % 6) {
      case 1:
        request.sampling.repetition_penalty = 1.3f;
        request.sampling.frequency_penalty = 0.2f;
        break;
      case 2:
        request.format.kind = OutputKind::kRegex;
        request.format.text = "([a-z]{3,8}-[0-9]{2} ){8,200}";
        break;
      case 3:
        request.n = 2;
        break;
      case 4:
        request.stop = {"worker", "token"};
        request.min_tokens = *request.max_tokens / 2;
        break;
      case 5:
        request.prompt_logprobs = 1;
        request.sampling.top_logprobs = 2;
        break;
    }
  }
  return requests;
}

absl::StatusOr<ChaosOutcome> RunRequest(Client& client,
                                        const TextRequest& request,
                                        const std::function<void()>& on_event) {
  ChaosOutcome outcome;
  outcome.answers.resize(request.n);
  FACET_RETURN_IF_ERROR(
      client.Generate({request}, [&](size_t, const TextEvent& event) {
        ChaosOutcome::Answer& answer = outcome.answers.at(event.index);
        for (const SampledToken& token : event.tokens) {
          answer.tokens.push_back(token.token);
          answer.logprobs.push_back(token.logprob);
        }
        for (const PromptLogprob& logprob : event.prompt_logprobs) {
          answer.logprobs.push_back(logprob.logprob);
        }
        answer.text += event.text;
        if (event.finish != FinishReason::kNone) answer.finish = event.finish;
        on_event();
        return true;
      }));
  return outcome;
}

std::string Difference(const ChaosOutcome& expected,
                       const ChaosOutcome& found) {
  for (size_t i = 0; i < expected.answers.size(); ++i) {
    const ChaosOutcome::Answer& a = expected.answers[i];
    const ChaosOutcome::Answer& b = found.answers[i];
    for (size_t t = 0; t < a.tokens.size(); ++t) {
      if (t == b.tokens.size() || a.tokens[t] != b.tokens[t]) {
        return absl::StrCat(
            "answer ", i, ", token ", t, " of ", a.tokens.size(), ": expected ",
            a.tokens[t], ", found ",
            t == b.tokens.size() ? "its end" : absl::StrCat(b.tokens[t]));
      }
    }
    if (a.tokens.size() != b.tokens.size()) {
      return absl::StrCat("answer ", i, ": expected ", a.tokens.size(),
                          " tokens, found ", b.tokens.size());
    }
    if (a.logprobs.size() != b.logprobs.size()) {
      return absl::StrCat("answer ", i, ": expected ", a.logprobs.size(),
                          " log-probabilities, found ", b.logprobs.size());
    }
    for (size_t t = 0; t < a.logprobs.size(); ++t) {
      if (std::bit_cast<uint32_t>(a.logprobs[t]) !=
          std::bit_cast<uint32_t>(b.logprobs[t])) {
        return absl::StrCat("answer ", i, ", log-probability ", t,
                            ": expected ", a.logprobs[t], ", found ",
                            b.logprobs[t]);
      }
    }
    if (a.text != b.text) {
      return absl::StrCat("answer ", i, ": the text is another");
    }
    if (a.finish != b.finish) {
      return absl::StrCat("answer ", i, ": expected its end by ",
                          Name(a.finish), ", found ", Name(b.finish));
    }
  }
  return "";
}

}  // namespace facet
