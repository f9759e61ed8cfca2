#include "rpc/worker/confine_process.h"

#include <dirent.h>
#include <sched.h>

#include <cstdlib>

namespace facet {

void ConfineProcess(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  // Twice: the second pass finds threads that were being made in the first.
  for (int pass = 0; pass < 2; ++pass) {
    DIR* tasks = opendir("/proc/self/task");
    if (tasks == nullptr) return;
    while (const dirent* entry = readdir(tasks)) {
      const pid_t thread = std::atoi(entry->d_name);
      if (thread > 0) sched_setaffinity(thread, sizeof(set), &set);
    }
    closedir(tasks);
  }
}

}  // namespace facet
