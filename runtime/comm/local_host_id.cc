#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/comm/host_communicator.h"

namespace facet {

// The user belongs to it because shared memory is for one user only.
std::string LocalHostId() {
  std::string boot_id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot_id);
  struct stat shm;
  if (boot_id.empty() || stat("/dev/shm", &shm) != 0) {
    // Not a machine we understand: nobody shares memory with this process.
    std::string unique;
    std::getline(std::ifstream("/proc/sys/kernel/random/uuid"), unique);
    return absl::StrCat("alone-", unique, "-", getpid());
  }
  return absl::StrCat(boot_id, "-", absl::Hex(shm.st_dev), "-",
                      absl::Hex(shm.st_ino), "-", geteuid());
}

}  // namespace facet
