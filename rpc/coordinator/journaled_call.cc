#include "rpc/coordinator/journaled_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/text_convert.h"
#include "rpc/proto/inference.pb.h"
#include "rpc/proto/journal.pb.h"

namespace facet {
namespace {

SamplingOptions OptionsOf(const GenerateRequest& request) {
  const SamplingParams& from = request.sampling;
  SamplingOptions to;
  to.temperature = from.temperature;
  to.top_k = from.top_k;
  to.top_p = from.top_p;
  to.min_p = from.min_p;
  to.seed = from.seed;
  to.logprobs = from.logprob;
  to.top_logprobs = from.top_logprobs;
  to.repetition_penalty = from.repetition_penalty;
  to.presence_penalty = from.presence_penalty;
  to.frequency_penalty = from.frequency_penalty;
  to.logit_bias = request.logit_bias;
  return to;
}

void ToJournal(const OutputFormat& from, v1::JournaledToolCalls* to) {
  for (const CallableTool& one : from.tools) {
    v1::JournaledToolCalls::Tool* const tool = to->add_tools();
    tool->set_name(one.name);
    tool->set_parameters(one.parameters);
    tool->set_strict(one.strict);
    tool->set_lenient(one.lenient);
  }
  to->set_required(from.calls.required);
  to->set_parallel(from.calls.parallel);
  to->set_content_schema(from.calls.content_schema);
}

OutputFormat FromJournal(const v1::JournaledToolCalls& from) {
  OutputFormat to;
  to.kind = OutputKind::kToolCalls;
  for (const v1::JournaledToolCalls::Tool& one : from.tools()) {
    CallableTool tool;
    tool.name = one.name();
    tool.parameters = one.parameters();
    tool.strict = one.strict();
    tool.lenient = one.lenient();
    to.tools.push_back(std::move(tool));
  }
  to.calls.required = from.required();
  to.calls.parallel = from.parallel();
  to.calls.content_schema = from.content_schema();
  return to;
}

v1::JournaledRequest ToJournal(const GenerateRequest& request) {
  TextRequest text;
  text.kind = PromptKind::kTokens;
  text.tokens = request.prompt;
  text.sampling = OptionsOf(request);
  text.max_tokens = request.max_tokens;
  text.min_tokens = request.min_tokens;
  text.stop = request.stop_strings;
  text.stop_ids = request.stop_ids;
  text.ignore_eos = true;  // they are among stop_ids, if at all
  text.n = request.n;
  text.best_of = request.best_of;
  text.prompt_logprobs = request.prompt_logprobs;
  text.max_thought_tokens = request.max_thought_tokens;
  text.format = request.format;
  text.priority = request.priority;
  text.cache_salt = request.cache_salt;
  v1::JournaledRequest to;
  to.set_request(ToProto(text).SerializeAsString());
  to.set_may_think(request.may_think);
  if (request.deadline != absl::InfiniteFuture()) {
    to.set_deadline_unix_micros(absl::ToUnixMicros(request.deadline));
  }
  if (request.format.kind == OutputKind::kToolCalls) {
    ToJournal(request.format, to.mutable_tool_calls());
  }
  return to;
}

absl::StatusOr<GenerateRequest> FromJournal(const FrontDoor& front_door,
                                            const v1::JournaledRequest& from) {
  v1::GenerateRequest request_proto;
  if (!request_proto.ParseFromString(from.request())) {
    return absl::DataLossError("the request cannot be read");
  }
  TextRequest text = FromProto(request_proto);
  if (from.has_tool_calls()) text.format = FromJournal(from.tool_calls());
  FACET_ASSIGN_OR_RETURN(GenerateRequest request, front_door.Prepare(text));
  request.may_think = from.may_think();
  if (from.has_deadline_unix_micros()) {
    request.deadline = absl::FromUnixMicros(from.deadline_unix_micros());
  }
  return request;
}

// One answer, as far as the journal has it.
struct Told {
  std::vector<int32_t> tokens;
  size_t prompt_logprobs = 0;
  bool ended = false;
};

// Whether the answers of `request` can be gone on with: where several are drawn
// to choose from, what was chosen is known at the end alone.
bool CanGoOn(const GenerateRequest& request, int answer, const Told& told) {
  if (told.ended) return true;
  if (told.tokens.empty() || request.best_of > request.n) return false;
  return answer != 0 || request.prompt_logprobs < 0 ||
         told.prompt_logprobs + 1 == request.prompt.size();
}

absl::StatusOr<v1::JournaledBegin> ReadBegin(const FrontDoor& front_door,
                                             const std::string& bytes) {
  v1::JournaledBegin begin;
  if (!begin.ParseFromString(bytes) || begin.requests_size() == 0) {
    return absl::DataLossError("its beginning cannot be read");
  }
  if (begin.model() != front_door.model().name) {
    return absl::FailedPreconditionError(
        absl::StrCat("it was asked of ", begin.model(), ", and this is ",
                     front_door.model().name));
  }
  return begin;
}

}  // namespace

std::string JournalBegin(const std::string& model, const RequestKey& key,
                         absl::Time begun,
                         const std::vector<GenerateRequest>& requests) {
  v1::JournaledBegin begin;
  begin.set_model(model);
  begin.set_owner(key.owner);
  begin.set_key(key.key);
  begin.set_body(key.body);
  begin.set_begun_unix_micros(absl::ToUnixMicros(begun));
  for (const GenerateRequest& request : requests) {
    *begin.add_requests() = ToJournal(request);
  }
  return begin.SerializeAsString();
}

std::string JournalEvent(size_t request, int64_t tokens_before,
                         const std::string& response) {
  v1::JournaledEvent event;
  event.set_request(static_cast<uint32_t>(request));
  event.set_tokens_before(tokens_before);
  event.set_response(response);
  return event.SerializeAsString();
}

absl::StatusOr<JournaledCall> ReadJournaled(const FrontDoor& front_door,
                                            const JournalEntry& entry) {
  FACET_ASSIGN_OR_RETURN(const v1::JournaledBegin begin,
                         ReadBegin(front_door, entry.begin));
  JournaledCall call;
  call.key = {begin.owner(), begin.key(), begin.body(),
              absl::FromUnixMicros(begin.begun_unix_micros())};
  std::vector<std::vector<Told>> told;  // by request and answer
  for (const v1::JournaledRequest& from : begin.requests()) {
    FACET_ASSIGN_OR_RETURN(GenerateRequest request,
                           FromJournal(front_door, from));
    if (request.n < 1 || request.n > kMaxAnswers) {
      return absl::DataLossError("it has an impossible number of answers");
    }
    told.emplace_back(request.n);
    call.requests.push_back(std::move(request));
  }
  for (const std::string& bytes : entry.events) {
    v1::JournaledEvent from;
    v1::GenerateResponse response;
    if (!from.ParseFromString(bytes) ||
        !response.ParseFromString(from.response()) ||
        from.request() >= told.size() || response.index() < 0 ||
        response.index() >= static_cast<int>(told[from.request()].size())) {
      continue;
    }
    Told& so_far = told[from.request()][response.index()];
    TextEvent event = FromProto(response);
    if (so_far.ended ||
        from.tokens_before() != static_cast<int64_t>(so_far.tokens.size())) {
      continue;
    }
    for (const SampledToken& token : event.tokens) {
      so_far.tokens.push_back(token.token);
    }
    so_far.prompt_logprobs += event.prompt_logprobs.size();
    so_far.ended = event.finish != FinishReason::kNone;
    call.told.emplace_back(from.request(), std::move(event));
  }
  for (size_t i = 0; i < told.size(); ++i) {
    GenerateRequest& request = call.requests[i];
    const auto ended = [](const Told& one) { return one.ended; };
    if (std::all_of(told[i].begin(), told[i].end(), ended)) continue;
    const bool chooses = request.best_of > request.n;
    for (int answer = 0; answer < request.n; ++answer) {
      Told& one = told[i][answer];
      if (chooses || !CanGoOn(request, answer, one)) one = Told();
      if (one.ended && !one.tokens.empty()) one.tokens.pop_back();
      if (!chooses) request.drawn.push_back(std::move(one.tokens));
    }
    const auto drawn_anew = [&](const std::pair<size_t, TextEvent>& event) {
      if (event.first != i) return false;
      const int answer = event.second.index;
      return !told[i][answer].ended &&
             (chooses || request.drawn[answer].empty());
    };
    call.told.erase(
        std::remove_if(call.told.begin(), call.told.end(), drawn_anew),
        call.told.end());
  }
  return call;
}

}  // namespace facet
