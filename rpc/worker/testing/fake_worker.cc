// `fake_worker [worker] --coordinator=ADDRESS`: RunWorker() with fake parts, as
// FACET_FAKE_WORKER in the environment describes them.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "rpc/worker/testing/fake_parts.h"
#include "rpc/worker/worker.h"

int main(int argc, char** argv) {
  const std::string flag = "--coordinator=";
  facet::WorkerOptions options;
  options.join_timeout = absl::Seconds(20);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(flag, 0) == 0) {
      options.coordinator = argument.substr(flag.size());
    }
  }
  const char* fake = std::getenv("FACET_FAKE_WORKER");
  const absl::Status status = facet::RunWorker(
      options, facet::FakeParts(
                   facet::ParseFakeWorkerOptions(fake == nullptr ? "" : fake)));
  if (status.ok()) return 0;
  std::fprintf(stderr, "fake_worker: %s\n", status.ToString().c_str());
  return 1;
}
