// Small files that operators replace while a server runs: keys, certificates.
#ifndef FACET_RPC_ACCESS_FILE_WATCH_H_
#define FACET_RPC_ACCESS_FILE_WATCH_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace facet {

// The contents of all files. Errors: the system's, with the path; INVALID_
// ARGUMENT for a file of more than 16 MiB.
absl::StatusOr<std::vector<std::string>> ReadFiles(
    const std::vector<std::string>& paths);

// Reads files again and again and compares, so that it does not matter how they
// are replaced (renamed, rewritten, behind a link that moves).
class FileWatch {
 public:
  // `contents` are what the caller has. Where they differ after `interval` or a
  // multiple of it, `on_change` gets the new ones, on the watch's thread. Files
  // that cannot be read are as good as unchanged.
  FileWatch(std::vector<std::string> paths, std::vector<std::string> contents,
            absl::Duration interval,
            std::function<void(const std::vector<std::string>&)> on_change);
  // Waits for an `on_change` that runs.
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  void Run();

  const std::vector<std::string> paths_;
  std::vector<std::string> contents_;  // of the thread
  const absl::Duration interval_;
  const std::function<void(const std::vector<std::string>&)> on_change_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_FILE_WATCH_H_
