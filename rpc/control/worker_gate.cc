#include "rpc/control/worker_gate.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace facet {

void WorkerGate::Open(std::shared_ptr<Membership> world) {
  const std::lock_guard<std::mutex> lock(mutex_);
  open_ = std::move(world);
}

void WorkerGate::AdmitSpares() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [id, guest] : guests_) {
    if (guest.world != nullptr) continue;
    const absl::StatusOr<int> member =
        open_->OnRegister(guest.registration, guest.link);
    if (!member.ok()) continue;
    guest.world = open_;
    guest.member = *member;
    guest.link = nullptr;
  }
}

int WorkerGate::CountSpares() const {
  int count = 0;
  for (const auto& [id, guest] : guests_) count += guest.world == nullptr;
  return count;
}

int WorkerGate::spares() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return CountSpares();
}

std::vector<WorkerRegistration> WorkerGate::spare_registrations() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<WorkerRegistration> spares;
  for (const auto& [id, guest] : guests_) {
    if (guest.world == nullptr) spares.push_back(guest.registration);
  }
  return spares;
}

void WorkerGate::Close(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  for (auto& [id, guest] : guests_) {
    if (guest.world == nullptr) guest.link->Send(WorkerShutdown{reason});
  }
}

void WorkerGate::Tick() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::Time now = options_.clock();
  for (auto& [id, guest] : guests_) {
    if (guest.world != nullptr) continue;
    if (now - guest.heard > options_.heartbeat_timeout) guest.link->Cancel();
    if (now - guest.spoken >= options_.heartbeat_interval) {
      guest.spoken = now;
      guest.link->Send(Heartbeat{});
    }
  }
}

absl::StatusOr<int> WorkerGate::OnRegister(WorkerRegistration registration,
                                           std::shared_ptr<WorkerLink> link) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return absl::UnavailableError("the coordinator is leaving");
  const absl::StatusOr<int> member = open_->OnRegister(registration, link);
  Guest guest;
  if (member.ok()) {
    guest.world = open_;
    guest.member = *member;
  } else if (!absl::IsUnavailable(member.status()) &&
             !absl::IsResourceExhausted(member.status())) {
    return member.status();
  } else if (CountSpares() >= options_.most_spares) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more workers than work: ", options_.most_spares,
                     " spare ones are waiting already"));
  } else {
    guest.registration = std::move(registration);
    guest.link = std::move(link);
    guest.heard = guest.spoken = options_.clock();
  }
  guests_.emplace(next_guest_, std::move(guest));
  return next_guest_++;
}

void WorkerGate::OnMessage(int id, WorkerMessage message) {
  std::shared_ptr<Membership> world;
  int member = -1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = guests_.find(id);
    if (found == guests_.end()) return;
    Guest& guest = found->second;
    world = guest.world;
    member = guest.member;
    if (world == nullptr) {
      guest.heard = options_.clock();
      // A spare has nothing to tell but that it is there, or why it leaves.
      if (!std::holds_alternative<Heartbeat>(message)) {
        guest.link->Close(absl::OkStatus());
      }
      return;
    }
  }
  world->OnMessage(member, std::move(message));
}

void WorkerGate::OnGone(int id, const absl::Status& status) {
  std::shared_ptr<Membership> world;
  int member = -1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = guests_.find(id);
    if (found == guests_.end()) return;
    world = found->second.world;
    member = found->second.member;
    guests_.erase(found);
  }
  if (world != nullptr) world->OnGone(member, status);
}

}  // namespace facet
