#include "tests/soak/served_model.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/process_memory.h"

namespace facet {
namespace {

// "ready http=HOST:PORT grpc=HOST:PORT", or empty while it is not there.
std::string ReadyLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || file.eof()) return "";
  return line;
}

std::string Word(const std::string& line, const std::string& name) {
  for (const auto& word : absl::StrSplit(line, ' ')) {
    if (absl::StartsWith(word, name + "=")) {
      return std::string(word.substr(name.size() + 1));
    }
  }
  return "";
}

// The body of GET `path` on 127.0.0.1:`port`.
absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path) {
  int port = 0;
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    return absl::InvalidArgumentError(absl::StrCat(address, ": no HOST:PORT"));
  }
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{/*tv_sec=*/20, /*tv_usec=*/0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string request = absl::StrCat(
      "GET ", path, " HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n");
  std::string reply;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0 &&
      write(fd, request.data(), request.size()) ==
          static_cast<ssize_t>(request.size())) {
    char buffer[4096];
    ssize_t count;
    while ((count = read(fd, buffer, sizeof(buffer))) > 0) {
      reply.append(buffer, count);
    }
  }
  close(fd);
  const size_t body = reply.find("\r\n\r\n");
  if (!absl::StartsWith(reply, "HTTP/1.1 200") || body == std::string::npos) {
    return absl::UnavailableError(
        absl::StrCat("GET ", path, " at ", address, " failed"));
  }
  return reply.substr(body + 4);
}

// The sum of all series of `name` whose labels contain `label`.
absl::StatusOr<double> Sum(const std::string& text, const std::string& name,
                           const std::string& label = "") {
  double sum = 0;
  bool found = false;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, name + "{")) continue;
    if (!absl::StrContains(line, label)) continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    if (!absl::SimpleAtod(line.substr(space + 1), &value)) continue;
    sum += value;
    found = true;
  }
  if (found) return sum;
  return absl::InvalidArgumentError(
      absl::StrCat("/metrics has no series ", name));
}

}  // namespace

absl::StatusOr<ServerState> ParseMetrics(const std::string& text) {
  ServerState state;
  FACET_ASSIGN_OR_RETURN(state.running,
                         Sum(text, "facet:num_requests_running"));
  FACET_ASSIGN_OR_RETURN(state.waiting,
                         Sum(text, "facet:num_requests_waiting"));
  FACET_ASSIGN_OR_RETURN(state.used_pages,
                         Sum(text, "facet:kv_pages", "state=\"used\""));
  FACET_ASSIGN_OR_RETURN(state.preemptions,
                         Sum(text, "facet:num_preemptions_total"));
  FACET_ASSIGN_OR_RETURN(state.prefix_hits,
                         Sum(text, "facet:prefix_cache_hits_total"));
  FACET_ASSIGN_OR_RETURN(state.recoveries, Sum(text, "facet:recoveries_total"));
  FACET_ASSIGN_OR_RETURN(state.asked_again,
                         Sum(text, "facet:requests_asked_again_total"));
  FACET_ASSIGN_OR_RETURN(state.restored,
                         Sum(text, "facet:requests_restored_total"));
  FACET_ASSIGN_OR_RETURN(state.losses,
                         Sum(text, "facet:failure_detection_seconds_count"));
  FACET_ASSIGN_OR_RETURN(state.aborted, Sum(text, "facet:request_success_total",
                                            "finished_reason=\"abort\""));
  return state;
}

absl::StatusOr<std::unique_ptr<ServedModel>> ServedModel::Start(
    const ServedModelOptions& options) {
  std::unique_ptr<ServedModel> served(new ServedModel(options));
  FACET_RETURN_IF_ERROR(served->Launch());
  return served;
}

absl::Status ServedModel::Launch() {
  const std::string ready = absl::StrCat(options_.folder, "/ready");
  unlink(ready.c_str());
  ended_how_ = std::make_shared<std::string>();
  ChildProcessOptions child;
  // The shell sends the ready line to a file and becomes the server.
  child.executable = "/bin/sh";
  child.argv = {"sh", "-c", "out=$1; shift; exec \"$@\" > \"$out\"", "sh",
                ready};
  child.argv.push_back(options_.facet);
  child.argv.push_back("serve");
  child.argv.push_back("--grpc=" + grpc_);
  child.argv.push_back("--http=" + http_);
  child.argv.push_back("--control=" + options_.control);
  child.argv.insert(child.argv.end(), options_.flags.begin(),
                    options_.flags.end());
  child.on_exit = [how = ended_how_](const std::string& what) { *how = what; };
  FACET_ASSIGN_OR_RETURN(process_, ChildProcess::Start(std::move(child)));
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  std::string line;
  while ((line = ReadyLine(ready)).empty()) {
    if (process_->WaitUntilGone(absl::Now() + absl::Milliseconds(50))) {
      return absl::InternalError(absl::StrCat("the server ", *ended_how_));
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError("the server does not get ready");
    }
  }
  grpc_ = Word(line, "grpc");
  http_ = Word(line, "http");
  return absl::OkStatus();
}

absl::Status ServedModel::Replace() {
  process_->Kill(SIGKILL);
  if (!process_->WaitUntilGone(absl::Now() + absl::Minutes(1))) {
    return absl::InternalError("the server outlives SIGKILL");
  }
  process_.reset();  // on_exit has returned afterwards
  return Launch();
}

absl::StatusOr<std::string> ServedModel::Get(const std::string& path) const {
  return HttpGet(http_, path);
}

absl::StatusOr<ServerState> ServedModel::State() const {
  FACET_ASSIGN_OR_RETURN(const std::string text, HttpGet(http_, "/metrics"));
  return ParseMetrics(text);
}

absl::StatusOr<std::vector<int64_t>> ServedModel::Memory() const {
  std::vector<pid_t> pids = ChildProcesses(process_->pid());
  std::sort(pids.begin(), pids.end());
  pids.insert(pids.begin(), process_->pid());
  std::vector<int64_t> bytes;
  for (const pid_t pid : pids) {
    FACET_ASSIGN_OR_RETURN(const ProcessMemory memory, ReadProcessMemory(pid));
    bytes.push_back(memory.anonymous_bytes);
  }
  return bytes;
}

absl::Status ServedModel::Stop() {
  process_->Kill(SIGTERM);
  if (!process_->WaitUntilGone(absl::Now() + absl::Seconds(30))) {
    return absl::InternalError("the server did not end within 30 s of SIGTERM");
  }
  process_.reset();  // on_exit has returned afterwards
  if (*ended_how_ != "exited with code 0") {
    return absl::InternalError(absl::StrCat("the server ", *ended_how_));
  }
  return absl::OkStatus();
}

}  // namespace facet
