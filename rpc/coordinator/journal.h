// What has to be known after the coordinator has died: an append-only file of
// what was begun, what came of it and what is no longer wanted.
//
// Nobody waits for the disk: records are written by a thread of the journal. A
// disk that is full, broken or too slow suspends it; it goes on by itself, with
// up to 8 MiB of what was begun meanwhile. What else came has no place in the
// file, and nothing else comes of it. The
// file is written anew, with what is wanted alone, when it reaches its bound,
// when the journal goes on, and at the start.
#ifndef FACET_RPC_COORDINATOR_JOURNAL_H_
#define FACET_RPC_COORDINATOR_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace facet {

// When the file's bytes are forced onto the disk. What was written outlives the
// process in any case; this is about the machine.
enum class JournalSync {
  kNever,   // when the system pleases
  kBatch,   // every second
  kAlways,  // after each write: as often as the disk can
};

// "never", "batch" or "always". Errors: INVALID_ARGUMENT.
absl::StatusOr<JournalSync> ParseJournalSync(const std::string& word);

struct JournalOptions {
  std::string path;  // its folder is there
  int64_t max_bytes = int64_t{64} << 20;
  JournalSync sync = JournalSync::kBatch;
  // How often a suspended journal tries to go on.
  absl::Duration retry_interval = absl::Seconds(1);
  // Hears of what an operator should know. From any thread; must not block.
  std::function<void(const std::string& line)> report;
};

// As far as the file tells it, in the order of beginning.
struct JournalEntry {
  uint64_t id = 0;
  std::string begin;
  std::vector<std::string> events;
};

struct JournalState {
  absl::Status health;  // why it is suspended, if it is
  int64_t bytes = 0;    // of the file
  int64_t dropped = 0;  // records, while it was suspended
};

// Safe from several threads.
class Journal {
 public:
  // The process then ignores SIGXFSZ. `entries`: what was begun and not
  // forgotten. A damaged file tells what can be read of it; a file that is no
  // journal is put aside under another name.
  //
  // Errors: FAILED_PRECONDITION when another process uses the file,
  // UNAVAILABLE with the system's reason when it cannot be opened or read.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(
      const JournalOptions& options, std::vector<JournalEntry>* entries);
  // Writes what waits.
  virtual ~Journal() = default;

  // Never block. A `begin` of more than a quarter of max_bytes, or of 4 MiB, is
  // not written, and neither is what follows it. One that failed to be written
  // is there once the journal goes on; an event that failed is not.
  virtual uint64_t Begin(std::string begin) = 0;
  virtual void Add(uint64_t id, std::string event) = 0;
  virtual void Forget(uint64_t id) = 0;

  virtual JournalState state() const = 0;

  // Waits until what was given before is in the file, or was dropped.
  virtual void Flush() = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_JOURNAL_H_
