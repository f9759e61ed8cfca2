#include "runtime/comm/shm_region.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "runtime/comm/unique_fd.h"

namespace facet {
namespace {

// A container has 64 MiB of /dev/shm unless asked for more, and while a world
// forms anew, the one before it may still be there.
constexpr size_t kAllRingsMax = 28 << 20;
// Reading what lies modified in another core's L2 is slower than reading it
// from L3, so a ring does better when it exceeds an L2: an all-reduce of 4 MiB
// between two ranks takes 625 us with rings of 64 KiB, 570 with 256 KiB, 250
// with 1 MiB and 255 with 4 MiB (L2 of 1 MiB, Zen 3).
constexpr size_t kRingMax = 1024 << 10;
constexpr size_t kRingMin = 16 << 10;

size_t PairCount(int ranks) { return static_cast<size_t>(ranks) * (ranks - 1); }

size_t RingBytes(int ranks) {
  return std::bit_floor(
      std::clamp(kAllRingsMax / std::max<size_t>(PairCount(ranks), 1), kRingMin,
                 kRingMax));
}

size_t CountersOffset(int ranks) { return ranks * sizeof(Doorbell); }

size_t BytesOffset(int ranks) {
  const size_t end =
      CountersOffset(ranks) + PairCount(ranks) * sizeof(RingCounters);
  return (end + 4095) / 4096 * 4096;
}

size_t RegionBytes(int ranks) {
  return BytesOffset(ranks) + PairCount(ranks) * RingBytes(ranks);
}

absl::Status SystemError(absl::string_view what, const std::string& name,
                         int error) {
  return absl::InternalError(
      absl::StrCat(what, " shared memory ", name, ": ", std::strerror(error)));
}

absl::StatusOr<uint8_t*> Map(int fd, const std::string& name, size_t bytes) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return SystemError("mapping", name, errno);
  return static_cast<uint8_t*>(base);
}

}  // namespace

std::string ShmName(const std::string& world_key, int first_rank) {
  const std::string text =
      absl::StrCat("facet shared memory ", first_rank, " ", world_key);
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
  return absl::StrCat("/facet-",
                      absl::BytesToHexString(absl::string_view(
                          reinterpret_cast<const char*>(digest), 16)));
}

absl::StatusOr<std::unique_ptr<ShmRegion>> ShmRegion::Create(
    const std::string& name, int ranks) {
  const size_t bytes = RegionBytes(ranks);
  UniqueFd fd(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  if (!fd.valid()) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(
          absl::StrCat("shared memory ", name,
                       " exists already: every world needs a fresh world_key"));
    }
    return SystemError("creating", name, errno);
  }
  // Whatever fails from here on, the name goes with `region`.
  std::unique_ptr<ShmRegion> region(
      new ShmRegion(name, ranks, nullptr, /*owns_name=*/true));
  const int error = posix_fallocate(fd.get(), 0, bytes);
  if (error == ENOSPC) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "/dev/shm has no room for the ", bytes, " bytes of ", ranks,
        " ranks on this machine: make it larger (docker --shm-size, in "
        "Kubernetes a Memory volume at /dev/shm)"));
  }
  if (error != 0) return SystemError("reserving", name, error);
  absl::StatusOr<uint8_t*> base = Map(fd.get(), name, bytes);
  if (!base.ok()) return base.status();
  region->base_ = *base;
  return region;
}

absl::StatusOr<std::unique_ptr<ShmRegion>> ShmRegion::Open(
    const std::string& name, int ranks) {
  const size_t bytes = RegionBytes(ranks);
  UniqueFd fd(shm_open(name.c_str(), O_RDWR, 0));
  if (!fd.valid()) {
    if (errno == ENOENT) {
      return absl::NotFoundError(absl::StrCat(
          "no shared memory ", name,
          " here: the ranks of one host_id do not share /dev/shm"));
    }
    if (errno == EACCES) {
      return absl::PermissionDeniedError(
          absl::StrCat("shared memory ", name,
                       " belongs to another user: ranks of one "
                       "host_id must run as one user"));
    }
    return SystemError("opening", name, errno);
  }
  struct stat found;
  if (fstat(fd.get(), &found) != 0)
    return SystemError("looking at", name, errno);
  if (found.st_uid != geteuid() || (found.st_mode & 0077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "shared memory ", name, " has owner ", found.st_uid, " and mode ",
        absl::Hex(found.st_mode & 0777), ", expected owner ", geteuid(),
        " and no access for others"));
  }
  if (static_cast<size_t>(found.st_size) != bytes) {
    return absl::InternalError(absl::StrCat("shared memory ", name, " has ",
                                            found.st_size, " bytes, expected ",
                                            bytes, " for ", ranks, " ranks"));
  }
  absl::StatusOr<uint8_t*> base = Map(fd.get(), name, bytes);
  if (!base.ok()) return base.status();
  return std::unique_ptr<ShmRegion>(
      new ShmRegion(name, ranks, *base, /*owns_name=*/false));
}

ShmRegion::~ShmRegion() {
  Unlink();
  if (base_ != nullptr) munmap(base_, RegionBytes(ranks_));
}

void ShmRegion::Unlink() {
  if (owns_name_) shm_unlink(name_.c_str());
  owns_name_ = false;
}

// Zero pages are doorbells and counters in their initial state.
Doorbell* ShmRegion::doorbell(int rank) {
  FACET_CHECK(0 <= rank && rank < ranks_);
  return reinterpret_cast<Doorbell*>(base_) + rank;
}

RingCounters* ShmRegion::counters(int from, int to) {
  FACET_CHECK(0 <= from && from < ranks_ && 0 <= to && to < ranks_ &&
              from != to);
  return reinterpret_cast<RingCounters*>(base_ + CountersOffset(ranks_)) +
         from * (ranks_ - 1) + (to < from ? to : to - 1);
}

uint8_t* ShmRegion::bytes(int from, int to) {
  return base_ + BytesOffset(ranks_) +
         RingBytes(ranks_) * (from * (ranks_ - 1) + (to < from ? to : to - 1));
}

RingWriter ShmRegion::writer(int from, int to) {
  return RingWriter(counters(from, to), bytes(from, to), RingBytes(ranks_));
}

RingReader ShmRegion::reader(int from, int to) {
  return RingReader(counters(from, to), bytes(from, to), RingBytes(ranks_));
}

}  // namespace facet
