// What a gRPC call leaves behind: its spans in a trace and its line in the
// access log, as HTTP's do.
#ifndef FACET_RPC_COORDINATOR_CALL_NOTES_H_
#define FACET_RPC_COORDINATOR_CALL_NOTES_H_

#include <grpcpp/support/status.h>

#include <memory>

#include "absl/strings/string_view.h"
#include "rpc/access/access_log.h"
#include "rpc/access/door_keeper.h"
#include "rpc/convert/text_messages.h"
#include "rpc/trace/call_spans.h"
#include "rpc/trace/span.h"
#include "rpc/trace/span_exporter.h"

namespace grpc {
class CallbackServerContext;
}  // namespace grpc

namespace facet {

// The metadata that a client sent under `key`; empty: none.
absl::string_view Metadata(const grpc::CallbackServerContext* context,
                           const char* key);

// Not safe from several threads at once.
class CallNotes {
 public:
  // Begins at the call's arrival, and tells the client its place in a trace.
  // `method` is "Chat"; `pass`, `spans` and `log` may be null; the latter two
  // outlive the notes.
  CallNotes(grpc::CallbackServerContext* context, const char* method,
            const DoorPass* pass, SpanSink* spans, AccessLog* log);

  // Takes in what was told of an answer.
  void Note(const TextEvent& event);

  // Once.
  void End(const grpc::Status& status);

 private:
  SpanSink* const spans_;
  AccessLog* const log_;
  Span span_;
  AccessRecord record_;
  CallTimes times_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_CALL_NOTES_H_
