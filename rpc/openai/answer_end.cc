#include "rpc/openai/answer_end.h"

#include <string>

#include "rpc/openai/api_error.h"
#include "rpc/openai/server_events.h"

namespace facet {

void EndAnswer(const GenerationFields& fields, const CallUsage& usage,
               ApiJson head, const std::function<ApiJson()>& whole,
               ApiCall* call) {
  call->NoteUsage(usage.prompt_tokens, usage.completion_tokens);
  if (!fields.stream) {
    call->RespondJson(whole());
    return;
  }
  std::string events;
  if (fields.include_usage || fields.return_timings) {
    head["choices"] = ApiJson::array();
    if (fields.include_usage) head["usage"] = UsageJson(usage);
    if (fields.return_timings) head["timings"] = call->TimingsJson();
    events += DataEvent(head);
  }
  call->Send(events + kDoneEvent);
  call->Finish();
}

void FailAnswer(bool stream, const absl::Status& status, ApiCall* call) {
  if (!stream) {
    call->Fail(status);
    return;
  }
  call->NoteError(status);
  call->Send(DataEvent(ErrorBody(ErrorOf(status))));
  call->Finish();
}

}  // namespace facet
