#include "tests/soak/soak_request.h"

#include <algorithm>
#include <iterator>
#include <regex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

constexpr int kRepeatedRequests = 6;
// Some 700 bytes each, which no buffers on the way take in.
constexpr int kSlowAnswers = 32;
constexpr int kSlowTokens = 600;
constexpr int kCrowdRequests = 64;
constexpr int kContextTokens = 4096;

constexpr const char* kQuestions[] = {
    "What is a token?",
    "Please explain the coordinator to me.",
    "What is two plus two?",
    "Which programming language do you use?",
    "Paged attention?",
    "Was ist ein Token?",
    "How does pipeline parallelism work?",
    "What do workers do when one of them fails?",
};

// Beginnings that many prompts have in common, of several pages.
std::string SharedBeginning(int which) {
  std::string text = absl::StrCat("Notes, part ", which, ".\n");
  for (int i = 0; i < 12 + 4 * which; ++i) {
    absl::StrAppend(&text, kQuestions[(i * 3 + which) % 8], " ");
  }
  return text;
}

constexpr double kShares[kUserKinds] = {0.36, 0.16, 0.14, 0.03, 0.03,
                                        0.09, 0.13, 0.04, 0.02};

const std::vector<std::string>& Choices() {
  static const auto* const choices =
      new std::vector<std::string>{"yes", "no", "perhaps tomorrow"};
  return *choices;
}

constexpr char kPattern[] = "[a-z]{3,8}-[0-9]{2}";
constexpr char kSchema[] =
    R"({"type": "object", "properties": {"city": {"type": "string",)"
    R"( "maxLength": 12}, "size": {"type": "integer"}},)"
    R"( "required": ["city", "size"], "additionalProperties": false})";
constexpr char kGrammar[] = "root ::= \"a\" (\"b\" | \"c\" root)";

absl::Status Wrong(const SoakUser& user, const std::string& what) {
  return absl::InternalError(absl::StrCat(Name(user.kind), ": ", what));
}

absl::Status CheckShape(const SoakUser& user, const SoakAnswer& answer) {
  // One that ran out of tokens is the beginning of what was asked for.
  if (answer.finish != FinishReason::kStop) return absl::OkStatus();
  const OutputFormat& format = user.requests[0].format;
  const std::string& text = answer.text;
  bool fits = true;
  switch (format.kind) {
    case OutputKind::kFree:
    case OutputKind::kToolCalls:  // no user asks for these
      break;
    case OutputKind::kJsonObject:
    case OutputKind::kJsonSchema: {
      const auto json = nlohmann::json::parse(text, nullptr, false);
      fits = json.is_object();
      if (format.kind == OutputKind::kJsonSchema) {
        fits = fits && json.size() == 2 && json.contains("city") &&
               json["city"].is_string() && json.contains("size") &&
               json["size"].is_number();
      }
      break;
    }
    case OutputKind::kRegex:
      fits = std::regex_match(text, std::regex(format.text));
      break;
    case OutputKind::kGrammar:
      fits = std::regex_match(text, std::regex("(ac)*ab"));
      break;
    case OutputKind::kChoice:
      fits = std::count(format.choices.begin(), format.choices.end(), text) > 0;
      break;
  }
  if (fits) return absl::OkStatus();
  return Wrong(user, absl::StrCat("\"", text, "\" does not have the format"));
}

absl::Status CheckAnswers(const SoakUser& user,
                          const std::vector<SoakAnswer>& answers) {
  const TextRequest& request = user.requests[0];
  if (static_cast<int>(answers.size()) != request.n) {
    return Wrong(user, absl::StrCat(answers.size(), " answers of ", request.n));
  }
  for (const SoakAnswer& answer : answers) {
    const auto tokens = static_cast<int64_t>(answer.tokens.size());
    if (answer.finish == FinishReason::kCancelled) {
      if (user.kind == UserKind::kCancels) continue;
      return Wrong(user, "cancelled by somebody else");
    }
    if (answer.finish == FinishReason::kNone) {
      return Wrong(user, "an answer without an end");
    }
    if (tokens > *request.max_tokens || tokens < request.min_tokens) {
      return Wrong(
          user, absl::StrCat(tokens, " tokens, asked for ", request.min_tokens,
                             " to ", *request.max_tokens));
    }
    if (answer.finish == FinishReason::kLength &&
        tokens != *request.max_tokens) {
      return Wrong(user, absl::StrCat("cut off at ", tokens, " tokens of ",
                                      *request.max_tokens));
    }
    const absl::Status shape = CheckShape(user, answer);
    if (!shape.ok()) return shape;
  }
  return absl::OkStatus();
}

}  // namespace

const char* Name(UserKind kind) {
  constexpr const char* kNames[kUserKinds] = {"plain",  "repeated", "cancels",
                                              "slow",   "vanishes", "hurried",
                                              "shaped", "too much", "crowd"};
  return kNames[static_cast<int>(kind)];
}

SoakUser SoakUsers::Next() {
  std::discrete_distribution<int> kinds(std::begin(kShares), std::end(kShares));
  return OfKind(static_cast<UserKind>(kinds(random_)));
}

SoakUser SoakUsers::OfKind(UserKind kind) {
  SoakUser user;
  user.kind = kind;
  TextRequest request = Plain();
  switch (kind) {
    case UserKind::kPlain:
      break;
    case UserKind::kRepeated:
      user.repeated = static_cast<int>(Between(0, kRepeatedRequests - 1));
      request = Repeated(user.repeated);
      break;
    case UserKind::kCancels:
      user.cancel_after = Between(1, 60);
      request.max_tokens = 400;
      request.ignore_eos = true;
      break;
    case UserKind::kSlow:
      user.stall = stall_;
      request.n = kSlowAnswers;
      request.best_of = 0;
      request.max_tokens = kSlowTokens;
      request.ignore_eos = true;
      request.sampling.logprobs = true;
      request.sampling.top_logprobs = 64;
      request.min_tokens = 0;
      request.stop.clear();
      break;
    case UserKind::kVanishes:
      break;
    case UserKind::kHurried:
      request.timeout_s = 0.001 * static_cast<double>(Between(5, 1500));
      request.max_tokens = 300;
      request.ignore_eos = true;
      break;
    case UserKind::kShaped:
      request.n = static_cast<int>(Between(1, 2));
      request.best_of = 0;
      request.ignore_eos = false;
      request.min_tokens = 0;
      request.stop.clear();
      request.max_tokens = Between(4, 80);
      request.format.kind = static_cast<OutputKind>(Between(1, 5));
      if (request.format.kind == OutputKind::kJsonSchema) {
        request.format.text = kSchema;
      } else if (request.format.kind == OutputKind::kRegex) {
        request.format.text = kPattern;
      } else if (request.format.kind == OutputKind::kGrammar) {
        request.format.text = kGrammar;
      } else if (request.format.kind == OutputKind::kChoice) {
        request.format.choices = Choices();
      }
      break;
    case UserKind::kTooMuch:
      if (Chance(0.5)) {
        request.kind = PromptKind::kTokens;
        request.tokens.assign(kContextTokens + 1, 500);
      } else {
        request.sampling.top_logprobs = 65;
      }
      break;
    case UserKind::kCrowd:
      request.n = 2;
      request.best_of = 0;
      request.priority = 0;
      for (int i = 1; i < kCrowdRequests; ++i) user.requests.push_back(request);
      break;
  }
  user.requests.push_back(std::move(request));
  return user;
}

int64_t SoakUsers::Between(int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random_);
}

bool SoakUsers::Chance(double probability) {
  return std::bernoulli_distribution(probability)(random_);
}

std::string SoakUsers::Prompt() {
  std::string text;
  if (Chance(0.4)) text = SharedBeginning(static_cast<int>(Between(0, 5)));
  const int64_t questions = Between(1, 6);
  for (int64_t i = 0; i < questions; ++i) {
    absl::StrAppend(&text, kQuestions[Between(0, 7)], " ");
  }
  return absl::StrCat(text, Between(0, 99999));
}

TextRequest SoakUsers::Plain() {
  TextRequest request;
  request.kind = PromptKind::kText;
  request.text = Prompt();
  request.max_tokens = Between(1, 160);
  request.ignore_eos = Chance(0.7);
  request.priority = static_cast<int>(Between(-2, 2));
  if (Chance(0.3)) {
    request.sampling.temperature = 0;
  } else {
    request.sampling.temperature = 1.0f;
    request.sampling.seed = random_();
    if (Chance(0.3)) request.sampling.top_p = 0.9f;
    if (Chance(0.3)) request.sampling.top_k = 20;
    if (Chance(0.2)) request.sampling.min_p = 0.05f;
  }
  if (Chance(0.15)) {
    request.sampling.repetition_penalty = 1.2f;
    request.sampling.frequency_penalty = 0.5f;
    request.sampling.presence_penalty = 0.5f;
  }
  if (Chance(0.1)) request.sampling.logit_bias.push_back({900, 3.0f});
  if (Chance(0.2)) {
    request.sampling.logprobs = true;
    request.sampling.top_logprobs = static_cast<int>(Between(0, 8));
  }
  if (Chance(0.2)) request.n = static_cast<int>(Between(2, 4));
  if (request.n > 1 && Chance(0.3)) request.best_of = request.n + 2;
  if (Chance(0.1))
    request.min_tokens = std::min<int64_t>(8, *request.max_tokens);
  if (Chance(0.1)) request.prompt_logprobs = 2;
  if (Chance(0.1)) request.stop = {"the", "zz"};
  if (Chance(0.1)) request.cache_salt = "apart";
  return request;
}

TextRequest SoakUsers::Repeated(int which) const {
  TextRequest request;
  request.kind = PromptKind::kText;
  request.text = absl::StrCat(which % 2 == 0 ? SharedBeginning(which) : "",
                              kQuestions[which]);
  request.max_tokens = 40 + 20 * which;
  request.ignore_eos = true;
  if (which < 3) {
    request.sampling.temperature = 0;
  } else {
    request.sampling.temperature = 1.0f;
    request.sampling.seed = 17 + which;
  }
  if (which == 5) request.sampling.repetition_penalty = 1.3f;
  return request;
}

absl::Status CheckOutcome(const SoakUser& user, const absl::Status& status,
                          const std::vector<SoakAnswer>& answers) {
  if (status.ok()) {
    if (user.kind == UserKind::kTooMuch) {
      return Wrong(user, "answered in spite of it");
    }
    if (user.kind == UserKind::kCrowd) return absl::OkStatus();
    return CheckAnswers(user, answers);
  }
  bool expected = false;
  if (absl::IsResourceExhausted(status)) {
    // Anybody may find the queue full.
    expected = user.kind == UserKind::kSlow ||
               absl::StrContains(status.message(), "queue is full");
  } else if (absl::IsDeadlineExceeded(status)) {
    expected = user.kind == UserKind::kHurried;
  } else if (absl::IsInvalidArgument(status)) {
    expected = user.kind == UserKind::kTooMuch;
  }
  if (expected) return absl::OkStatus();
  return Wrong(user, status.ToString());
}

}  // namespace facet
