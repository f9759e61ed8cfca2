// A journal may end or be damaged anywhere. What is read of it stands in it,
// and no byte counts twice.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/string_view.h"
#include "kernels/base/check.h"
#include "rpc/coordinator/journal_file.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const int fd = memfd_create("journal", MFD_CLOEXEC);
  FACET_CHECK(fd >= 0);
  FACET_CHECK(write(fd, data, size) == static_cast<ssize_t>(size));
  FACET_CHECK(lseek(fd, 0, SEEK_SET) == 0);
  facet::JournalReader reader(fd);
  facet::JournalRecord record;
  size_t at = 0;
  size_t read = 0;
  while (reader.Next(&record)) {
    std::string again;
    facet::AppendRecord(record.kind, record.id, record.payload, &again);
    at = bytes.find(again, at);
    FACET_CHECK(at != absl::string_view::npos);
    at += again.size();
    read += again.size();
  }
  FACET_CHECK(read + static_cast<size_t>(reader.skipped()) == size);
  close(fd);
  return 0;
}
