#include "rpc/access/file_watch.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr size_t kMaxBytes = size_t{16} << 20;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) return absl::UnavailableError(absl::StrCat(path, ": broken"));
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": more than ", kMaxBytes, " bytes"));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadFiles(
    const std::vector<std::string>& paths) {
  std::vector<std::string> contents;
  for (const std::string& path : paths) {
    FACET_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
    contents.push_back(std::move(text));
  }
  return contents;
}

FileWatch::FileWatch(
    std::vector<std::string> paths, std::vector<std::string> contents,
    absl::Duration interval,
    std::function<void(const std::vector<std::string>&)> on_change)
    : paths_(std::move(paths)),
      contents_(std::move(contents)),
      interval_(interval),
      on_change_(std::move(on_change)),
      thread_([this] { Run(); }) {}

FileWatch::~FileWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FileWatch::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, absl::ToChronoMilliseconds(interval_),
                            [this] { return stopping_; })) {
    lock.unlock();
    absl::StatusOr<std::vector<std::string>> now = ReadFiles(paths_);
    if (now.ok() && *now != contents_) {
      contents_ = *std::move(now);
      on_change_(contents_);
    }
    lock.lock();
  }
}

}  // namespace facet
