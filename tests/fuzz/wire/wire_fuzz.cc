// Hostile ends of every connection inside a cluster, as long as wanted:
//
//   bazel run -c opt //tests/fuzz/wire:wire_fuzz -- data 600
//   bazel run -c opt //tests/fuzz/wire:wire_fuzz -- worker 600
//   bazel run -c opt //tests/fuzz/wire:wire_fuzz -- coordinator 600
//
// data: a peer of the data plane; worker, coordinator: of the control plane.
// What must not happen ends the process: a crash, a right answer to nothing
// right, memory that grows, descriptors that are left open.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/base/check.h"
#include "rpc/cli/bench/process_memory.h"
#include "rpc/convert/quiet_protobuf.h"
#include "tests/fuzz/wire/hostile_peer.h"
#include "tests/fuzz/wire/hostile_speech.h"

namespace facet {
namespace {

constexpr int64_t kMostGrowth = int64_t{64} << 20;
constexpr int kMostNewDescriptors = 16;

int64_t Memory() {
  const auto memory = ReadProcessMemory(getpid());
  FACET_CHECK(memory.ok());
  return memory->anonymous_bytes;
}

int64_t Descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

int Main(int argc, char** argv) {
  const std::string target = argc > 1 ? argv[1] : "";
  const auto meet = target == "data"          ? MeetHostilePeer
                    : target == "worker"      ? MeetHostileWorker
                    : target == "coordinator" ? MeetHostileCoordinator
                                              : nullptr;
  if (argc < 3 || argc > 4 || meet == nullptr) {
    std::fprintf(stderr,
                 "usage: wire_fuzz data|worker|coordinator SECONDS [SEED]\n");
    return 2;
  }
  const absl::Duration time = absl::Seconds(std::atof(argv[2]));
  Mutator random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
  // Pools and arenas fill in the first rounds.
  for (int i = 0; i < 20; ++i) meet(random);
  const int64_t memory = Memory(), descriptors = Descriptors();
  const absl::Time start = absl::Now();
  absl::Time told = start;
  int64_t rounds = 0;
  while (absl::Now() - start < time) {
    meet(random);
    ++rounds;
    const absl::Time now = absl::Now();
    if (now - told < absl::Minutes(1)) continue;
    told = now;
    std::printf("%s: %lld worlds, memory %+.1f MiB\n", target.c_str(),
                static_cast<long long>(rounds),
                static_cast<double>(Memory() - memory) / (1 << 20));
    std::fflush(stdout);
  }
  const int64_t growth = Memory() - memory;
  const int64_t left = Descriptors() - descriptors;
  std::printf(
      "%s: %lld worlds in %.0f s, memory %+.1f MiB, descriptors %+lld\n",
      target.c_str(), static_cast<long long>(rounds),
      absl::ToDoubleSeconds(absl::Now() - start),
      static_cast<double>(growth) / (1 << 20), static_cast<long long>(left));
  FACET_CHECK(growth <= kMostGrowth);
  FACET_CHECK(left <= kMostNewDescriptors);
  return 0;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  facet::QuietProtobuf();
  return facet::Main(argc, argv);
}
