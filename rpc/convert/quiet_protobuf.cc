#include "rpc/convert/quiet_protobuf.h"

#include <cstdio>
#include <string>

#include "google/protobuf/stubs/logging.h"

namespace facet {

void QuietProtobuf() {
  google::protobuf::SetLogHandler([](google::protobuf::LogLevel level,
                                     const char* file, int line,
                                     const std::string& message) {
    if (level == google::protobuf::LOGLEVEL_FATAL) {
      std::fprintf(stderr, "protobuf: %s:%d: %s\n", file, line,
                   message.c_str());
    }
  });
}

}  // namespace facet
