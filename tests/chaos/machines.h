// Machines made of network namespaces of this kernel, on a network that can be
// cut, slow and lossy. Needs no privilege where users may make namespaces.
#ifndef FACET_TESTS_CHAOS_MACHINES_H_
#define FACET_TESTS_CHAOS_MACHINES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/comm/unique_fd.h"
#include "tests/chaos/packet_switch.h"

namespace facet {

class Machines {
 public:
  // Makes `count` of them. This process becomes machine 0. REQUIRES: it has no
  // other thread yet.
  //
  // Errors: PERMISSION_DENIED where this system forbids namespaces, packet
  // sockets or pairs of interfaces; UNAVAILABLE without ip, nsenter or unshare.
  static absl::StatusOr<std::unique_ptr<Machines>> Create(int count);

  int count() const { return static_cast<int>(namespaces_.size()); }
  static std::string Address(int machine);
  PacketSwitch& network() { return *network_; }

  // The command that becomes `argv` on `machine`, which shares no memory with
  // the others.
  std::vector<std::string> On(int machine,
                              const std::vector<std::string>& argv) const;

 private:
  Machines() = default;
  absl::Status Make(int count);

  std::vector<UniqueFd> namespaces_;
  std::unique_ptr<PacketSwitch> network_;
};

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_MACHINES_H_
