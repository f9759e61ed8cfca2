// Server-sent events, as text (WHATWG HTML, section 9.2).
#ifndef FACET_RPC_OPENAI_SERVER_EVENTS_H_
#define FACET_RPC_OPENAI_SERVER_EVENTS_H_

#include <string>

#include "rpc/http/http_message.h"
#include "rpc/openai/api_json.h"

namespace facet {

// The head of a stream of events, which no cache keeps and no proxy gathers.
HttpResponse EventStreamHead();

// "data: {...}\n\n". JSON has no line breaks of its own.
std::string DataEvent(const ApiJson& data);

// The same with "event: " + data["type"] in front, as /v1/responses has it.
std::string NamedEvent(const ApiJson& data);

// The last event of a stream of completions.
inline constexpr char kDoneEvent[] = "data: [DONE]\n\n";

}  // namespace facet

#endif  // FACET_RPC_OPENAI_SERVER_EVENTS_H_
