// Calls as the journal has them: what was asked for, and what was told of it.
#ifndef FACET_RPC_COORDINATOR_JOURNALED_CALL_H_
#define FACET_RPC_COORDINATOR_JOURNALED_CALL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/generate_request.h"
#include "rpc/coordinator/journal.h"
#include "rpc/coordinator/request_key.h"

namespace facet {

struct JournaledCall {
  RequestKey key;
  // What was drawn for answers that have not ended is in `drawn`. Of an answer
  // that has ended beside others that have not, the last token is drawn again.
  std::vector<GenerateRequest> requests;
  // By request, in order; `done` is not set.
  std::vector<std::pair<size_t, TextEvent>> told;
};

// The `begin` of a journal's entry.
std::string JournalBegin(const std::string& model, const RequestKey& key,
                         absl::Time begun,
                         const std::vector<GenerateRequest>& requests);

// An event: `response` is a v1::GenerateResponse, whose answer had
// `tokens_before` tokens.
std::string JournalEvent(size_t request, int64_t tokens_before,
                         const std::string& response);

// What can be gone on with. Events behind a gap are left out, and so are those
// of an answer that has to be drawn from its first token on.
//
// Errors: DATA_LOSS, FAILED_PRECONDITION where another model was asked, and
// those of FrontDoor::Prepare().
absl::StatusOr<JournaledCall> ReadJournaled(const FrontDoor& front_door,
                                            const JournalEntry& entry);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_JOURNALED_CALL_H_
