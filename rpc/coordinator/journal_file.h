// Records in a file that may end or be damaged anywhere: each stands between a
// mark and checksums, and what is no record is passed over.
//
//   file    kJournalHeader, then records
//   record  mark, payload's length, id, kind, CRC-32C of the payload, CRC-32C
//           of what stands before (all little-endian), payload
#ifndef FACET_RPC_COORDINATOR_JOURNAL_FILE_H_
#define FACET_RPC_COORDINATOR_JOURNAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace facet {

inline constexpr absl::string_view kJournalHeader = "FACETJ1\n";
// Of a record's payload.
inline constexpr size_t kMaxJournalPayload = size_t{64} << 20;

struct JournalRecord {
  uint32_t kind = 0;
  uint64_t id = 0;
  std::string payload;
};

// CRC-32C (Castagnoli) of `data`.
uint32_t Crc32c(absl::string_view data);

// REQUIRES: payload.size() <= kMaxJournalPayload.
void AppendRecord(uint32_t kind, uint64_t id, absl::string_view payload,
                  std::string* out);

// Reads forwards, in memory of a few records. One thread.
class JournalReader {
 public:
  // `fd` stands behind the header and outlives the reader.
  explicit JournalReader(int fd) : fd_(fd) {}

  // False: the end, or what is left cannot be read.
  bool Next(JournalRecord* record);

  // Bytes so far that are no records.
  int64_t skipped() const { return skipped_; }

 private:
  // Has `count` bytes in the buffer behind at_; false: there are no more.
  bool Fill(size_t count);
  // To the next byte that may begin a record.
  void Skip();

  const int fd_;
  std::string buffer_;
  size_t at_ = 0;  // in the buffer
  bool ended_ = false;
  int64_t skipped_ = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_JOURNAL_FILE_H_
