#include "rpc/trace/span_exporter.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/client/http_get.h"
#include "rpc/control/listen_address.h"
#include "rpc/trace/otlp_json.h"

namespace facet {
namespace {

constexpr size_t kMostWaiting = 4096;
constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kQuiet = absl::Minutes(1);  // between two complaints

class SpanExporter : public SpanSink {
 public:
  SpanExporter(std::string address, std::string path, std::string version)
      : address_(std::move(address)),
        path_(std::move(path)),
        version_(std::move(version)),
        thread_([this] { Run(); }) {}

  ~SpanExporter() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void Add(Span span) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_.size() >= kMostWaiting) {
      ++dropped_;
      return;
    }
    waiting_.push_back(std::move(span));
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    bool stopping = false;
    while (!stopping) {
      changed_.wait_for(lock, absl::ToChronoMilliseconds(kInterval),
                        [this] { return stopping_; });
      stopping = stopping_;
      const std::vector<Span> spans = std::exchange(waiting_, {});
      int64_t lost = std::exchange(dropped_, 0);
      lock.unlock();
      if (!spans.empty()) {
        const absl::Status sent =
            HttpPost(address_, path_, "application/json",
                     OtlpJson(spans, version_), kPatience);
        if (!sent.ok()) lost += static_cast<int64_t>(spans.size());
        Complain(lost, sent);
      }
      lock.lock();
    }
  }

  void Complain(int64_t lost, const absl::Status& why) {
    lost_ += lost;
    if (lost_ == 0 || absl::Now() < complained_ + kQuiet) return;
    complained_ = absl::Now();
    std::fprintf(
        stderr, "traces: %lld spans did not reach http://%s%s: %s\n",
        static_cast<long long>(lost_), address_.c_str(), path_.c_str(),
        why.ok() ? "too many at once" : std::string(why.message()).c_str());
    lost_ = 0;
  }

  const std::string address_;
  const std::string path_;
  const std::string version_;

  // Of the thread.
  int64_t lost_ = 0;
  absl::Time complained_ = absl::InfinitePast();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Span> waiting_;
  int64_t dropped_ = 0;
  bool stopping_ = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<SpanSink>> MakeSpanExporter(
    const std::string& url, const std::string& version) {
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(
        absl::StrCat(url,
                     ": expected http://HOST:PORT/PATH, such as "
                     "http://127.0.0.1:4318/v1/traces"));
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string address(rest.substr(0, slash));
  FACET_RETURN_IF_ERROR(ParseHostPort(address).status());
  std::string path(rest.substr(slash));
  if (path.empty()) path = "/v1/traces";
  return std::make_unique<SpanExporter>(address, std::move(path), version);
}

}  // namespace facet
