#include "runtime/comm/link.h"

#include "absl/strings/str_cat.h"

namespace facet {

const char* MessageKindName(MessageKind kind) {
  switch (kind) {
    case MessageKind::kAllReduce:
      return "all-reduce";
    case MessageKind::kAllGather:
      return "all-gather";
    case MessageKind::kBroadcast:
      return "broadcast";
    case MessageKind::kPointToPoint:
      return "send/receive";
  }
  return "unknown message";
}

absl::Status CheckHeader(const MessageHeader& found, MessageKind kind,
                         size_t bytes, const std::string& peer_name) {
  if (found.magic != MessageHeader::kMagic) {
    return absl::InternalError(absl::StrCat(
        peer_name, " sent bytes that are no message header; expected ",
        MessageKindName(kind), " of ", bytes, " bytes"));
  }
  if (found.kind != kind || found.bytes != bytes) {
    return absl::InternalError(absl::StrCat(
        peer_name, " sent ", MessageKindName(found.kind), " of ", found.bytes,
        " bytes, expected ", MessageKindName(kind), " of ", bytes,
        " bytes: all ranks must make the same calls in the same order"));
  }
  return absl::OkStatus();
}

}  // namespace facet
