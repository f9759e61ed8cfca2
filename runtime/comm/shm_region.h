// One block of shared memory of a host's ranks: a doorbell for each rank and a
// ring for each ordered pair. It has a name only while the ranks gather: the
// creator removes it once all have attached, so nothing is left behind.
//
//   | doorbell 0 | doorbell 1 | … | counters 0→1 | … | bytes 0→1 | bytes … |
#ifndef FACET_RUNTIME_COMM_SHM_REGION_H_
#define FACET_RUNTIME_COMM_SHM_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/comm/doorbell.h"
#include "runtime/comm/shm_ring.h"

namespace facet {

// "/facet-…", which nobody can guess who does not know `world_key`.
std::string ShmName(const std::string& world_key, int first_rank);

class ShmRegion {
 public:
  // Creates the memory for `ranks` ranks; pages are reserved, so that a full
  // /dev/shm is an error here and no crash later.
  //
  // Errors:
  //   ALREADY_EXISTS      the name is taken: the world key is not fresh
  //   RESOURCE_EXHAUSTED  /dev/shm is full
  //   INTERNAL            other failures of the system
  static absl::StatusOr<std::unique_ptr<ShmRegion>> Create(
      const std::string& name, int ranks);

  // Attaches to what Create() made with the same arguments.
  //
  // Errors:
  //   NOT_FOUND          there is no such memory
  //   PERMISSION_DENIED  it belongs to another user or others may write it
  //   INTERNAL           its size is wrong, or other failures of the system
  static absl::StatusOr<std::unique_ptr<ShmRegion>> Open(
      const std::string& name, int ranks);

  ~ShmRegion();
  ShmRegion(const ShmRegion&) = delete;
  ShmRegion& operator=(const ShmRegion&) = delete;

  // Removes the name; the memory stays until the last rank detaches. The
  // creator's destructor does it at the latest.
  void Unlink();

  // Indices are local: 0 <= rank < ranks.
  Doorbell* doorbell(int rank);
  RingWriter writer(int from, int to);
  RingReader reader(int from, int to);

 private:
  ShmRegion(std::string name, int ranks, uint8_t* base, bool owns_name)
      : name_(std::move(name)),
        ranks_(ranks),
        base_(base),
        owns_name_(owns_name) {}
  RingCounters* counters(int from, int to);
  uint8_t* bytes(int from, int to);

  std::string name_;
  int ranks_;
  uint8_t* base_;
  bool owns_name_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_SHM_REGION_H_
