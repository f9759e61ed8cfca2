#include "rpc/coordinator/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/coordinator/journal_file.h"

namespace facet {
namespace {

constexpr uint32_t kBegin = 1;
constexpr uint32_t kEvent = 2;
constexpr uint32_t kForget = 3;

// Of records that wait for the disk, and of requests that wait for room on it.
constexpr size_t kMaxQueued = size_t{8} << 20;
constexpr absl::Duration kSyncInterval = absl::Seconds(1);

absl::Status SystemError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(
      absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

// A file of one's own; closed with it.
class File {
 public:
  explicit File(int fd = -1) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void Swap(File& other) { std::swap(fd_, other.fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, absl::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t wrote = write(fd, data.data(), data.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      if (wrote == 0) errno = ENOSPC;
      return SystemError("cannot write", path);
    }
    data.remove_prefix(wrote);
  }
  return absl::OkStatus();
}

class JournalImpl : public Journal {
 public:
  explicit JournalImpl(const JournalOptions& options) : options_(options) {}

  ~JournalImpl() override {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::Status Start(std::vector<JournalEntry>* entries) {
    FACET_RETURN_IF_ERROR(OpenFile(options_.path, O_RDWR | O_CREAT, &file_));
    FACET_RETURN_IF_ERROR(ReadFile(entries));
    for (const JournalEntry& entry : *entries) {
      next_id_ = std::max(next_id_, entry.id + 1);
      int64_t& bytes = live_[entry.id];
      bytes = static_cast<int64_t>(entry.begin.size());
      for (const std::string& event : entry.events) bytes += event.size();
      live_bytes_ += bytes;
    }
    const absl::Status written = WriteAnew();
    if (!written.ok()) Suspend(written);
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  uint64_t Begin(std::string begin) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t id = next_id_++;
    if (begin.size() > kMaxQueued / 2 ||
        static_cast<int64_t>(begin.size()) > options_.max_bytes / 4 ||
        unwritten_bytes_ + begin.size() > kMaxQueued) {
      ++dropped_;
      return id;
    }
    live_[id] = 0;
    if (health_.ok()) {
      Queue(kBegin, id, begin);
    } else {
      live_[id] = static_cast<int64_t>(begin.size());
      live_bytes_ += live_[id];
    }
    unwritten_bytes_ += begin.size();
    unwritten_[id] = std::move(begin);
    return id;
  }

  void Add(uint64_t id, std::string event) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!live_.contains(id)) return;
    if (health_.ok() && event.size() <= kMaxQueued / 2) {
      Queue(kEvent, id, event);
    } else {
      ++dropped_;
    }
  }

  void Forget(uint64_t id) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    live_bytes_ -= found->second;
    live_.erase(found);
    DropUnwritten(id, id + 1);
    // A suspended journal is written anew, without it.
    if (health_.ok()) Queue(kForget, id, "");
  }

  JournalState state() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {health_, bytes_, dropped_};
  }

  void Flush() override {
    std::unique_lock<std::mutex> lock(mutex_);
    flushed_.wait(lock, [this] { return queue_.empty() && !writing_; });
  }

 private:
  absl::Status OpenFile(const std::string& path, int flags, File* file) const {
    File opened(open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (opened.fd() < 0) return SystemError("cannot open", path);
    if (flock(opened.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return SystemError("cannot lock", path);
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": used by another process"));
    }
    file->Swap(opened);
    return absl::OkStatus();
  }

  // What is in file_; one that is no journal is put aside.
  absl::Status ReadFile(std::vector<JournalEntry>* entries) {
    char header[kJournalHeader.size()] = {};
    const ssize_t got = pread(file_.fd(), header, sizeof(header), 0);
    if (got < 0) return SystemError("cannot read", options_.path);
    if (got == 0) return absl::OkStatus();
    if (absl::string_view(header, got) != kJournalHeader) {
      const std::string aside = options_.path + ".damaged";
      if (rename(options_.path.c_str(), aside.c_str()) != 0) {
        return SystemError("cannot put aside what is no journal,",
                           options_.path);
      }
      Report(absl::StrCat(options_.path,
                          " is no journal, or its beginning is "
                          "damaged: put aside as ",
                          aside));
      return OpenFile(options_.path, O_RDWR | O_CREAT, &file_);
    }
    lseek(file_.fd(), sizeof(header), SEEK_SET);
    JournalReader reader(file_.fd());
    JournalRecord record;
    absl::btree_map<uint64_t, JournalEntry> found;
    while (reader.Next(&record)) {
      if (record.kind == kBegin) {
        JournalEntry& entry = found[record.id];
        entry = {record.id, std::move(record.payload), {}};
      } else if (record.kind == kForget) {
        found.erase(record.id);
      } else if (const auto place = found.find(record.id);
                 record.kind == kEvent && place != found.end()) {
        place->second.events.push_back(std::move(record.payload));
      }
    }
    if (reader.skipped() > 0) {
      Report(absl::StrCat(options_.path, ": passed over ", reader.skipped(),
                          " bytes that are no whole records; a torn end is "
                          "what a sudden death leaves"));
    }
    for (auto& [id, entry] : found) entries->push_back(std::move(entry));
    return absl::OkStatus();
  }

  // Under mutex_.
  void Queue(uint32_t kind, uint64_t id, const std::string& payload) {
    if (queue_.size() + payload.size() > kMaxQueued) {
      dropped_ += 1 + std::exchange(queued_, 0);
      queue_.clear();
      SuspendLocked(absl::UnavailableError("the disk is too slow"));
      return;
    }
    const size_t before = queue_.size();
    AppendRecord(kind, id, payload, &queue_);
    ++queued_;
    const auto found = live_.find(id);
    if (found != live_.end()) {
      const auto size = static_cast<int64_t>(queue_.size() - before);
      found->second += size;
      live_bytes_ += size;
    }
    wake_.notify_all();
  }

  // Requests in [first, end) are in the file, or not wanted. Under mutex_.
  void DropUnwritten(uint64_t first, uint64_t end) {
    auto at = unwritten_.lower_bound(first);
    while (at != unwritten_.end() && at->first < end) {
      unwritten_bytes_ -= at->second.size();
      at = unwritten_.erase(at);
    }
  }

  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      const auto awake = [this] { return !queue_.empty() || stopping_; };
      const absl::Duration wait =
          health_.ok() ? kSyncInterval : options_.retry_interval;
      if (!health_.ok() || unsynced_) {
        wake_.wait_for(lock, absl::ToChronoNanoseconds(wait), awake);
      } else {
        wake_.wait(lock, awake);
      }
      if (stopping_ && queue_.empty()) break;
      const std::string batch = std::exchange(queue_, {});
      const int64_t records = std::exchange(queued_, 0);
      const uint64_t begun = next_id_;
      const bool suspended = !health_.ok();
      writing_ = true;
      lock.unlock();
      const absl::Status done = suspended ? GoOn() : Write(batch);
      lock.lock();
      writing_ = false;
      flushed_.notify_all();
      if (done.ok()) DropUnwritten(0, begun);
      if (done.ok() && suspended && !health_.ok()) {
        health_ = absl::OkStatus();
        Report("the journal goes on");
      } else if (!done.ok()) {
        dropped_ += records;
        SuspendLocked(done);
      }
    }
    lock.unlock();
    if (unsynced_) fdatasync(file_.fd());
  }

  absl::Status Write(const std::string& batch) {
    if (!batch.empty()) {
      if (bytes() + static_cast<int64_t>(batch.size()) > options_.max_bytes) {
        FACET_RETURN_IF_ERROR(CheckBound());
        FACET_RETURN_IF_ERROR(WriteAnew());
      }
      FACET_RETURN_IF_ERROR(Append(batch));
    }
    const absl::Time now = absl::Now();
    if (unsynced_ && (options_.sync == JournalSync::kAlways ||
                      now - last_sync_ >= kSyncInterval)) {
      last_sync_ = now;
      unsynced_ = false;
      if (fdatasync(file_.fd()) != 0) {
        return SystemError("cannot write", options_.path);
      }
    }
    return absl::OkStatus();
  }

  // Of a suspended journal: with what was begun meanwhile.
  absl::Status GoOn() {
    FACET_RETURN_IF_ERROR(CheckBound());
    std::string begun;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& [id, begin] : unwritten_) {
        AppendRecord(kBegin, id, begin, &begun);
      }
    }
    FACET_RETURN_IF_ERROR(WriteAnew());
    return Append(begun);
  }

  absl::Status Append(const std::string& records) {
    const absl::Status written = WriteAll(file_.fd(), records, options_.path);
    if (!written.ok()) {
      // Half a record would be passed over too; this saves the space.
      if (ftruncate(file_.fd(), bytes()) == 0) lseek(file_.fd(), 0, SEEK_END);
      return written;
    }
    AddBytes(static_cast<int64_t>(records.size()));
    unsynced_ = options_.sync != JournalSync::kNever;
    return absl::OkStatus();
  }

  // Whether what is wanted leaves room for more.
  absl::Status CheckBound() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (live_bytes_ <= options_.max_bytes / 4 * 3) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(
        "requests under way and answers kept take ", live_bytes_,
        " bytes of at most ", options_.max_bytes, " (--journal-size)"));
  }

  // Copies what is wanted into a new file that takes the place of this one.
  absl::Status WriteAnew() {
    bool nothing;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      nothing = live_.empty();
    }
    if (nothing) {  // needs no room on a disk that may be full
      if (ftruncate(file_.fd(), 0) != 0) {
        return SystemError("cannot empty", options_.path);
      }
      SetBytes(0);
      lseek(file_.fd(), 0, SEEK_SET);
      FACET_RETURN_IF_ERROR(
          WriteAll(file_.fd(), kJournalHeader, options_.path));
      SetBytes(kJournalHeader.size());
      return absl::OkStatus();
    }
    const std::string path = options_.path + ".new";
    File fresh;
    FACET_RETURN_IF_ERROR(OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, &fresh));
    const absl::StatusOr<int64_t> bytes = CopyTo(fresh.fd(), path);
    absl::Status status = bytes.status();
    if (status.ok() && fdatasync(fresh.fd()) != 0) {
      status = SystemError("cannot write", path);
    }
    if (status.ok() && rename(path.c_str(), options_.path.c_str()) != 0) {
      status = SystemError("cannot rename", path);
    }
    if (!status.ok()) {
      unlink(path.c_str());
      lseek(file_.fd(), 0, SEEK_END);
      return status;
    }
    SyncFolder();
    file_.Swap(fresh);
    SetBytes(*bytes);
    return absl::OkStatus();
  }

  // So that the machine's death does not bring the old file back.
  void SyncFolder() const {
    const size_t slash = options_.path.rfind('/');
    const std::string folder =
        slash == std::string::npos ? "." : options_.path.substr(0, slash + 1);
    const File opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened.fd() >= 0) fsync(opened.fd());
  }

  absl::StatusOr<int64_t> CopyTo(int to, const std::string& path) {
    lseek(file_.fd(), kJournalHeader.size(), SEEK_SET);
    JournalReader reader(file_.fd());
    JournalRecord record;
    std::string out(kJournalHeader);
    int64_t bytes = 0;
    const auto flush = [&]() -> absl::Status {
      FACET_RETURN_IF_ERROR(WriteAll(to, out, path));
      bytes += static_cast<int64_t>(out.size());
      out.clear();
      return absl::OkStatus();
    };
    while (reader.Next(&record)) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!live_.contains(record.id)) continue;
      }
      AppendRecord(record.kind, record.id, record.payload, &out);
      if (out.size() > (size_t{1} << 20)) FACET_RETURN_IF_ERROR(flush());
    }
    FACET_RETURN_IF_ERROR(flush());
    return bytes;
  }

  void Suspend(const absl::Status& why) {
    const std::lock_guard<std::mutex> lock(mutex_);
    SuspendLocked(why);
  }
  void SuspendLocked(const absl::Status& why) {
    if (health_.ok()) {
      Report(absl::StrCat("the journal is suspended: ",
                          std::string(why.message())));
    }
    health_ = why;
  }

  void Report(const std::string& line) const {
    if (options_.report) options_.report(line);
  }

  int64_t bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
  }
  void SetBytes(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    bytes_ = bytes;
  }
  void AddBytes(int64_t bytes) { SetBytes(this->bytes() + bytes); }

  const JournalOptions options_;

  // Of the thread, once it runs.
  File file_;
  bool unsynced_ = false;
  absl::Time last_sync_ = absl::InfinitePast();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable flushed_;
  std::string queue_;   // records
  int64_t queued_ = 0;  // of them
  bool writing_ = false;
  bool stopping_ = false;
  absl::Status health_;
  absl::btree_map<uint64_t, int64_t> live_;  // begun: bytes of their records
  int64_t live_bytes_ = 0;
  absl::btree_map<uint64_t, std::string>
      unwritten_;  // begun, perhaps not there
  size_t unwritten_bytes_ = 0;
  int64_t bytes_ = 0;
  int64_t dropped_ = 0;
  uint64_t next_id_ = 1;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<JournalSync> ParseJournalSync(const std::string& word) {
  if (word == "never") return JournalSync::kNever;
  if (word == "batch") return JournalSync::kBatch;
  if (word == "always") return JournalSync::kAlways;
  return absl::InvalidArgumentError(
      absl::StrCat("expected never, batch or always, found \"", word, "\""));
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(
    const JournalOptions& options, std::vector<JournalEntry>* entries) {
  // A limit on the size of files is then an error like a full disk.
  signal(SIGXFSZ, SIG_IGN);
  auto journal = std::make_unique<JournalImpl>(options);
  FACET_RETURN_IF_ERROR(journal->Start(entries));
  return journal;
}

}  // namespace facet
