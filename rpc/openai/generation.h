// Runs the requests behind one API call through the front door, and brings
// their events to whatever writes the answer.
#ifndef FACET_RPC_OPENAI_GENERATION_H_
#define FACET_RPC_OPENAI_GENERATION_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/request_ledger.h"
#include "rpc/openai/api_call.h"
#include "rpc/openai/work_threads.h"

namespace facet {

// Turns events into an answer. Called by one thread at a time, never the
// engine's.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // Every request was taken; a stream begins.
  virtual void Begin() = 0;

  // The next event of request `request`. False: nobody wants more.
  virtual bool Take(size_t request, TextEvent event) = 0;

  // After the last event: the answer is whole.
  virtual void End() = 0;

  // In place of what is missing, after Begin().
  virtual void Fail(const absl::Status& status) = 0;
};

// Submits `requests` and returns; the rest happens on `threads`. A request that
// is refused fails the call as a whole, with the others cancelled; so does the
// client's leaving, without an answer. Calls with a key go through `ledger`,
// unless it is null. Where the prompt is at fault, the error names
// `prompt_field`. `front_door` and `ledger` outlive the call's requests.
void StartGeneration(std::shared_ptr<ApiCall> call, const FrontDoor* front_door,
                     RequestLedger* ledger,
                     std::shared_ptr<WorkThreads> threads,
                     std::vector<GenerateRequest> requests,
                     const char* prompt_field,
                     std::unique_ptr<AnswerWriter> writer);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_GENERATION_H_
