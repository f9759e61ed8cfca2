// Protobuf's own log, which tells of each message that does not parse: whoever
// sends those could fill a disk with it.
#ifndef FACET_RPC_CONVERT_QUIET_PROTOBUF_H_
#define FACET_RPC_CONVERT_QUIET_PROTOBUF_H_

namespace facet {

// Drops it, but for what ends the process: whoever parses gets an error.
// REQUIRES: no other threads.
void QuietProtobuf();

}  // namespace facet

#endif  // FACET_RPC_CONVERT_QUIET_PROTOBUF_H_
