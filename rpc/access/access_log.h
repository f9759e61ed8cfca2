// One line of JSON per request, written by a thread of its own: a reader of the
// log that falls behind costs lines, never a request's time.
#ifndef FACET_RPC_ACCESS_ACCESS_LOG_H_
#define FACET_RPC_ACCESS_ACCESS_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace facet {

// Nothing of what was said: no prompt, no answer, no key.
struct AccessRecord {
  absl::Time time;         // of arrival
  std::string request_id;  // of HTTP
  std::string trace_id;
  std::string peer;    // HOST:PORT, as HTTP or gRPC writes it
  std::string method;  // "POST", or "gRPC"
  std::string path;    // without the query
  std::string key;     // the name of the API key; empty: none
  // Of HTTP, where 499 is that the client left before there was an answer; or
  // gRPC's code.
  int status = 0;
  absl::Duration duration;
  bool streamed = false;
  bool gone = false;           // the client left before the end
  int64_t prompt_tokens = -1;  // -1: does not apply
  int64_t completion_tokens = -1;
  std::string error;  // the code of it; empty: none
};

// As one line of JSON, without the line's end.
std::string AccessLine(const AccessRecord& record);

// Safe from several threads.
class AccessLog {
 public:
  // "off", "stderr", or a file to append to.
  //
  // Errors: UNAVAILABLE with the system's reason when it cannot be opened.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(
      const std::string& where);
  // Writes what waits.
  virtual ~AccessLog() = default;

  // Never blocks. Where more than a thousand lines wait, drops the line; the
  // next one says how many are missing.
  virtual void Write(const AccessRecord& record) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_ACCESS_LOG_H_
