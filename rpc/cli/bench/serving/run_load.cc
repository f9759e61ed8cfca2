#include "rpc/cli/bench/serving/run_load.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/random_tokens.h"
#include "rpc/cli/bench/serving/request_lengths.h"

namespace facet {
namespace {

constexpr int kMostUnanswered = 512;

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Tokens that came together.
struct Arrival {
  SteadyClock::time_point when;
  int64_t tokens = 0;
};

// One request as its client sees it.
struct RequestLog {
  int64_t prompt_tokens = 0;
  SteadyClock::time_point sent;
  std::vector<Arrival> arrivals;
  bool ended = false;  // with its last token
};

TextRequest MakeRequest(std::vector<int32_t> prompt, int64_t answer_tokens) {
  TextRequest request;
  request.kind = PromptKind::kTokens;
  request.tokens = std::move(prompt);
  request.max_tokens = answer_tokens;
  request.ignore_eos = true;
  return request;
}

// How much longer than asked for a window may get on a slow machine.
constexpr std::chrono::seconds kMostPatience{30};

class Load {
 public:
  Load(Client* client, const LoadShape& shape)
      : client_(client),
        shape_(shape),
        lengths_(shape.length_scale, shape.seed) {}

  absl::StatusOr<LoadResult> Run() {
    if (shape_.closed()) {
      RunClosed();
    } else {
      RunOpen();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_.ok()) return error_;
    return Summary();
  }

 private:
  void RunClosed() {
    std::deque<std::thread> users;
    for (int i = 0; i < shape_.concurrency; ++i) {
      users.emplace_back([this] {
        while (!stop_) Ask();
      });
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto window = absl::ToChronoNanoseconds(shape_.window);
      changed_.wait_for(lock, 2 * window, [this] {
        return ended_ >= shape_.concurrency || !error_.ok();
      });
      const int before = ended_;
      begin_ = SteadyClock::now();
      changed_.wait_for(lock, window, [this] { return !error_.ok(); });
      // Until some user was answered twice, so that there is something to tell
      // of users who asked within the window.
      changed_.wait_for(lock, kMostPatience, [this, before] {
        return ended_ > before + shape_.concurrency || !error_.ok();
      });
      end_ = SteadyClock::now();
      stop_ = true;
    }
    for (std::thread& user : users) user.join();
  }

  void RunOpen() {
    const auto window = std::chrono::duration_cast<SteadyClock::duration>(
        absl::ToChronoNanoseconds(shape_.window));
    const SteadyClock::time_point start = SteadyClock::now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      begin_ = start + window / 2;
      end_ = begin_ + window;
    }
    std::mt19937_64 random(shape_.seed ^ 0x5bd1e995);
    std::exponential_distribution<double> gap(shape_.rate);
    std::deque<std::thread> users;
    SteadyClock::time_point next = start;
    while (true) {
      next += std::chrono::duration_cast<SteadyClock::duration>(
          std::chrono::duration<double>(gap(random)));
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait_until(lock, std::min(next, end_),
                          [this] { return !error_.ok(); });
      if (!error_.ok() || next >= end_) break;
      if (unanswered_ >= kMostUnanswered) {
        error_ = absl::ResourceExhaustedError(absl::StrCat(
            "--rate: at ", shape_.rate, " requests a second more than ",
            kMostUnanswered, " are unanswered; give less"));
        break;
      }
      ++unanswered_;
      lock.unlock();
      users.emplace_back([this] {
        Ask();
        const std::lock_guard<std::mutex> user_lock(mutex_);
        --unanswered_;
      });
    }
    stop_ = true;
    for (std::thread& user : users) user.join();
  }

  // One request from its sending to its end.
  void Ask() {
    RequestLog log;
    TextRequest request;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const RequestLengths lengths = lengths_.Next();
      log.prompt_tokens = lengths.prompt;
      request = MakeRequest(RandomTokens(lengths.prompt, shape_.vocab_size,
                                         shape_.seed * 1000003 + asked_++),
                            lengths.answer);
      // Those that wait in the queue at the end have no event to be cancelled
      // at.
      if (!shape_.closed()) {
        request.timeout_s = std::max(0.001, Seconds(end_ - SteadyClock::now()));
      }
    }
    log.sent = SteadyClock::now();
    const absl::Status status =
        client_->Generate({request}, [&](size_t, const TextEvent& event) {
          if (!event.tokens.empty()) {
            log.arrivals.push_back({SteadyClock::now(),
                                    static_cast<int64_t>(event.tokens.size())});
          }
          log.ended |= event.finish == FinishReason::kLength;
          return !stop_;
        });
    const std::lock_guard<std::mutex> lock(mutex_);
    if (log.ended) ++ended_;
    const bool timed_out = !shape_.closed() &&
                           absl::IsDeadlineExceeded(status) &&
                           SteadyClock::now() >= end_;
    if (!status.ok() && !timed_out && error_.ok()) error_ = status;
    if (!error_.ok()) stop_ = true;
    logs_.push_back(std::move(log));
    changed_.notify_all();
  }

  LoadResult Summary() const {
    LoadResult result;
    result.begin = begin_;
    result.end = end_;
    const auto inside = [&](SteadyClock::time_point when) {
      return when > begin_ && when <= end_;
    };
    for (const RequestLog& log : logs_) {
      SteadyClock::time_point last = log.sent;
      for (size_t i = 0; i < log.arrivals.size(); ++i) {
        const Arrival& arrival = log.arrivals[i];
        const double wait = Seconds(arrival.when - last);
        last = arrival.when;
        if (!inside(arrival.when)) continue;
        result.output_tokens += arrival.tokens;
        if (i == 0) {
          result.prompt_tokens += log.prompt_tokens;
          result.first_token_s.push_back(wait);
        } else {
          result.next_token_s.insert(
              result.next_token_s.end(), arrival.tokens,
              wait / static_cast<double>(arrival.tokens));
        }
      }
      if (!log.ended || !inside(last)) continue;
      ++result.requests;
      result.end_to_end_s.push_back(Seconds(last - log.sent));
    }
    return result;
  }

  Client* const client_;
  const LoadShape shape_;
  std::atomic<bool> stop_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  RequestLengthSource lengths_;
  uint64_t asked_ = 0;
  int ended_ = 0;
  int unanswered_ = 0;
  absl::Status error_;
  std::vector<RequestLog> logs_;
  SteadyClock::time_point begin_, end_;
};

}  // namespace

absl::StatusOr<LoadResult> RunLoad(Client* client, const LoadShape& shape) {
  return Load(client, shape).Run();
}

absl::StatusOr<double> TimeFirstToken(Client* client,
                                      std::vector<int32_t> prompt,
                                      int64_t answer_tokens, int64_t* cached) {
  const SteadyClock::time_point sent = SteadyClock::now();
  double seconds = 0;
  FACET_RETURN_IF_ERROR(
      client->Generate({MakeRequest(std::move(prompt), answer_tokens)},
                       [&](size_t, const TextEvent& event) {
                         if (seconds == 0 && !event.tokens.empty()) {
                           seconds = Seconds(SteadyClock::now() - sent);
                         }
                         if (event.done && cached != nullptr) {
                           *cached = event.usage.cached_tokens;
                         }
                         return true;
                       }));
  return seconds;
}

}  // namespace facet
