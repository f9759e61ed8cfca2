#include "rpc/cli/bench/process_memory.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace facet {
namespace {

// Empty when it cannot be read.
std::string ReadProcFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The bytes of a line "Name:   123 kB".
absl::StatusOr<int64_t> Field(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, absl::StrCat(name, ":"))) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kilobytes = 0;
    if (words.size() == 3 && absl::SimpleAtoi(words[1], &kilobytes)) {
      return kilobytes * 1024;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("smaps_rollup has no field ", name));
}

// The fourth field of /proc/PID/stat, behind a name in brackets that may hold
// anything.
pid_t ParentOf(const std::string& pid) {
  const std::string stat = ReadProcFile(absl::StrCat("/proc/", pid, "/stat"));
  const size_t close = stat.rfind(')');
  if (close == std::string::npos) return -1;
  const std::vector<std::string> words =
      absl::StrSplit(stat.substr(close + 1), ' ', absl::SkipEmpty());
  int parent = -1;
  if (words.size() < 2 || !absl::SimpleAtoi(words[1], &parent)) return -1;
  return parent;
}

}  // namespace

absl::StatusOr<ProcessMemory> ParseSmapsRollup(absl::string_view text) {
  const absl::StatusOr<int64_t> pss = Field(text, "Pss");
  if (!pss.ok()) return pss.status();
  const absl::StatusOr<int64_t> anonymous = Field(text, "Anonymous");
  if (!anonymous.ok()) return anonymous.status();
  return ProcessMemory{*pss, *anonymous};
}

absl::StatusOr<ProcessMemory> ReadProcessMemory(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/smaps_rollup");
  const std::string text = ReadProcFile(path);
  if (text.empty()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  return ParseSmapsRollup(text);
}

std::vector<pid_t> ChildProcesses(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    int pid = 0;
    if (!absl::SimpleAtoi(name, &pid)) continue;
    if (ParentOf(name) == parent) children.push_back(pid);
  }
  return children;
}

}  // namespace facet
