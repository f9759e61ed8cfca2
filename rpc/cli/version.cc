// `facet version`: which build this is.
#include <cstdio>

#include "kernels/base/status_macros.h"
#include "rpc/cli/verb.h"
#include "rpc/control/build_id.h"

namespace facet {

int RunVersion(int argc, char** argv) {
  const auto app = MakeApp(
      "version",
      "Prints the version and the build id; all workers of a cluster run one "
      "build.",
      "  facet version\n");
  return RunVerb(app.get(), argc, argv, []() -> absl::Status {
    FACET_ASSIGN_OR_RETURN(const std::string build, BuildId());
    std::printf("facet %s build %s\n", kVersion, build.c_str());
    return absl::OkStatus();
  });
}

}  // namespace facet
