#include "tests/chaos/machines.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace facet {
namespace {

absl::Status Refused(const std::string& what) {
  return absl::PermissionDeniedError(
      absl::StrCat(what, ": ", std::strerror(errno)));
}

// In the network namespace of this thread.
absl::Status Shell(const std::string& command) {
  if (std::system(absl::StrCat(command, " > /dev/null 2>&1").c_str()) == 0) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("failed: ", command));
}

absl::Status BecomeRootOfOwnNamespaces() {
  const uid_t user = getuid();
  const gid_t group = getgid();
  if (user != 0 && unshare(CLONE_NEWUSER) != 0)
    return Refused("user namespace");
  if (user != 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  }
  if (unshare(CLONE_NEWNET) != 0) return Refused("network namespace");
  return absl::OkStatus();
}

UniqueFd OwnNetwork() {
  return UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

std::string PathOf(const UniqueFd& network) {
  return absl::StrCat("/proc/", getpid(), "/fd/", network.get());
}

absl::Status Enter(const UniqueFd& network) {
  if (setns(network.get(), CLONE_NEWNET) == 0) return absl::OkStatus();
  return Refused("setns");
}

// Frames leave as they would on a wire: whole, and with their checksums.
absl::Status StopOffloading(const char* interface) {
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (const uint32_t what :
       {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM}) {
    ethtool_value value = {what, 0};
    ifreq request = {};
    std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (ioctl(any.get(), SIOCETHTOOL, &request) != 0) {
      return Refused("offloading of packets");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenPort(const std::string& interface) {
  UniqueFd port(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  if (!port.valid()) return Refused("packet socket");
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  const int on = 1, bytes = 8 << 20;
  if (address.sll_ifindex == 0 ||
      bind(port.get(), reinterpret_cast<sockaddr*>(&address),
           sizeof(address)) != 0 ||
      setsockopt(port.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on,
                 sizeof(on)) != 0) {
    return Refused(absl::StrCat("packet socket on ", interface));
  }
  setsockopt(port.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  return port;
}

}  // namespace

std::string Machines::Address(int machine) {
  return absl::StrCat("10.90.0.", machine + 1);
}

absl::StatusOr<std::unique_ptr<Machines>> Machines::Create(int count) {
  for (const char* tool : {"ip", "nsenter", "unshare"}) {
    if (!Shell(absl::StrCat("command -v ", tool)).ok()) {
      return absl::UnavailableError(absl::StrCat("there is no ", tool));
    }
  }
  std::unique_ptr<Machines> machines(new Machines());
  FACET_RETURN_IF_ERROR(machines->Make(count));
  return machines;
}

absl::Status Machines::Make(int count) {
  FACET_RETURN_IF_ERROR(BecomeRootOfOwnNamespaces());
  const UniqueFd middle = OwnNetwork();
  std::vector<UniqueFd> ports;
  for (int i = 0; i < count; ++i) {
    if (unshare(CLONE_NEWNET) != 0) return Refused("network namespace");
    namespaces_.push_back(OwnNetwork());
    const auto mac = MachineAddress(i);
    const std::string port = absl::StrCat("port", i);
    FACET_RETURN_IF_ERROR(Shell(absl::StrCat(
        "ip link set lo up && ip link add name wire address ",
        absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                        mac[3], mac[4], mac[5]),
        " type veth peer name ", port, " && ip addr add ", Address(i),
        "/24 dev wire && ip link set wire up && ip link set ", port, " netns ",
        PathOf(middle))));
    FACET_RETURN_IF_ERROR(StopOffloading("wire"));
    FACET_RETURN_IF_ERROR(Enter(middle));
    FACET_RETURN_IF_ERROR(Shell(absl::StrCat("ip link set ", port, " up")));
    FACET_ASSIGN_OR_RETURN(UniqueFd opened, OpenPort(port));
    ports.push_back(std::move(opened));
  }
  FACET_RETURN_IF_ERROR(Enter(namespaces_[0]));
  network_ = std::make_unique<PacketSwitch>(std::move(ports));
  return absl::OkStatus();
}

std::vector<std::string> Machines::On(
    int machine, const std::vector<std::string>& argv) const {
  std::vector<std::string> command = {
      "nsenter",
      absl::StrCat("--net=", PathOf(namespaces_[machine])),
      "unshare",
      "--mount",
      "sh",
      "-c",
      "mount -t tmpfs none /dev/shm && exec \"$@\"",
      "sh"};
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

}  // namespace facet
