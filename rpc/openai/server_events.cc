#include "rpc/openai/server_events.h"

#include "absl/strings/str_cat.h"

namespace facet {

HttpResponse EventStreamHead() {
  HttpResponse head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.headers.push_back({"Cache-Control", "no-cache"});
  head.headers.push_back({"X-Accel-Buffering", "no"});
  return head;
}

std::string DataEvent(const ApiJson& data) {
  return absl::StrCat("data: ", PrintApiJson(data), "\n\n");
}

std::string NamedEvent(const ApiJson& data) {
  return absl::StrCat("event: ", data["type"].get<std::string>(), "\n",
                      DataEvent(data));
}

}  // namespace facet
