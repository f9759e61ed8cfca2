// The bytes before the body of a response.
#ifndef FACET_RPC_HTTP_RESPONSE_HEAD_H_
#define FACET_RPC_HTTP_RESPONSE_HEAD_H_

#include <string>

#include "absl/time/time.h"
#include "rpc/http/http_message.h"

namespace facet {

// How the client learns where the body ends.
enum class BodyEnd { kLength, kChunked, kClose };

// Control characters in what `response` gives are left out, so that no value
// can begin a header of its own.
std::string ResponseHead(const HttpResponse& response, BodyEnd end,
                         bool keep_alive, absl::Time now);

// One piece of a chunked body; nothing for an empty one, which would end it.
std::string Chunk(const std::string& data);
inline constexpr char kLastChunk[] = "0\r\n\r\n";

}  // namespace facet

#endif  // FACET_RPC_HTTP_RESPONSE_HEAD_H_
