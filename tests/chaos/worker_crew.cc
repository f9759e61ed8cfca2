#include "tests/chaos/worker_crew.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"

namespace facet {

absl::StatusOr<std::unique_ptr<WorkerCrew>> WorkerCrew::Start(
    const Machines* machines, const std::string& facet,
    const std::string& coordinator) {
  std::unique_ptr<WorkerCrew> crew(new WorkerCrew());
  crew->machines_ = machines;
  crew->facet_ = facet;
  crew->coordinator_ = coordinator;
  crew->workers_.resize(machines->count());
  for (int machine = 1; machine < machines->count(); ++machine) {
    FACET_RETURN_IF_ERROR(crew->StartOn(machine));
  }
  crew->thread_ = std::thread([one = crew.get()] { one->Watch(); });
  return crew;
}

absl::Status WorkerCrew::StartOn(int machine) {
  ChildProcessOptions child;
  child.executable = "/usr/bin/env";
  child.argv = {"env"};
  for (const std::string& word : machines_->On(
           machine,
           {facet_, "worker", absl::StrCat("--coordinator=", coordinator_)})) {
    child.argv.push_back(word);
  }
  FACET_ASSIGN_OR_RETURN(workers_[machine],
                         ChildProcess::Start(std::move(child)));
  return absl::OkStatus();
}

void WorkerCrew::Watch() {
  while (true) {
    absl::SleepFor(absl::Milliseconds(20));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stop_) return;
    for (int machine = 1; machine < machines_->count(); ++machine) {
      if (!workers_[machine]->WaitUntilGone(absl::InfinitePast())) continue;
      const absl::Status started = StartOn(machine);
      if (started.ok()) continue;
      std::fprintf(stderr, "%s\n", started.ToString().c_str());
      return;
    }
  }
}

int WorkerCrew::MachineOf(pid_t pid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (int machine = 1; machine < machines_->count(); ++machine) {
    if (workers_[machine]->pid() == pid) return machine;
  }
  return -1;
}

WorkerCrew::~WorkerCrew() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace facet
