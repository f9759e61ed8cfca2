#include "rpc/access/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

constexpr int kMaxWaiting = 1000;

class NoLog : public AccessLog {
 public:
  void Write(const AccessRecord&) override {}
};

class FileLog : public AccessLog {
 public:
  FileLog(int fd, bool owned)
      : fd_(fd), owned_(owned), thread_([this] { Run(); }) {}

  ~FileLog() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
    if (owned_) close(fd_);
  }

  void Write(const AccessRecord& record) override {
    std::string line = AccessLine(record);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_ >= kMaxWaiting) {
      ++dropped_;
      return;
    }
    if (dropped_ > 0) {
      absl::StrAppend(&text_, "{\"dropped_lines\":", dropped_, "}\n");
      dropped_ = 0;
    }
    ++waiting_;
    text_ += line + "\n";
    changed_.notify_all();
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !text_.empty(); });
      if (text_.empty()) return;
      const std::string text = std::exchange(text_, std::string());
      waiting_ = 0;
      lock.unlock();
      size_t written = 0;
      while (written < text.size()) {
        const ssize_t count =
            write(fd_, text.data() + written, text.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;  // a full disk costs lines
        written += static_cast<size_t>(count);
      }
      lock.lock();
    }
  }

  const int fd_;
  const bool owned_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  int waiting_ = 0;
  int64_t dropped_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::string AccessLine(const AccessRecord& record) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", record.time,
                                  absl::UTCTimeZone());
  if (!record.request_id.empty()) line["request_id"] = record.request_id;
  if (!record.trace_id.empty()) line["trace_id"] = record.trace_id;
  line["peer"] = record.peer;
  line["method"] = record.method;
  line["path"] = record.path;
  if (!record.key.empty()) line["key"] = record.key;
  line["status"] = record.status;
  line["duration_ms"] = absl::ToInt64Microseconds(record.duration) / 1000.0;
  line["stream"] = record.streamed;
  if (record.gone) line["client_left"] = true;
  if (record.prompt_tokens >= 0) line["prompt_tokens"] = record.prompt_tokens;
  if (record.completion_tokens >= 0) {
    line["completion_tokens"] = record.completion_tokens;
  }
  if (!record.error.empty()) line["error"] = record.error;
  return line.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(
    const std::string& where) {
  if (where == "off") return std::make_unique<NoLog>();
  if (where == "stderr") {
    return std::make_unique<FileLog>(STDERR_FILENO, /*owned=*/false);
  }
  const int fd =
      open(where.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("access log ", where, ": ", std::strerror(errno)));
  }
  return std::make_unique<FileLog>(fd, /*owned=*/true);
}

}  // namespace facet
