#include "rpc/http/http_exchange.h"

#include <utility>

#include "kernels/base/check.h"
#include "rpc/http/error_response.h"

namespace facet {

ExchangeQueue::ExchangeQueue(size_t max_buffered, std::function<void()> wake)
    : max_buffered_(max_buffered), wake_(std::move(wake)) {}

void ExchangeQueue::Wake() {
  if (woken_ || wake_ == nullptr) return;
  woken_ = true;
  wake_();
}

void ExchangeQueue::Break() {
  broken_ = true;
  data_ = std::string();
  // The sender may be stuck in what it took last, and must hear of this.
  woken_ = false;
  Wake();
}

ExchangeQueue::Output ExchangeQueue::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  woken_ = false;
  Output output;
  output.broken = broken_;
  if (broken_) return output;
  output.head = std::exchange(head_, std::nullopt);
  output.streamed = streamed_;
  output.data = std::exchange(data_, std::string());
  output.finished = finished_;
  return output;
}

bool ExchangeQueue::broken() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return broken_;
}

void ExchangeQueue::MarkGone() {
  std::function<void()> callback;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || finished_) return;
    gone_ = true;
    callback = std::exchange(on_gone_, nullptr);
    if (streamed_) Break();
  }
  if (callback != nullptr) callback();
}

void ExchangeQueue::Close() {
  MarkGone();
  const std::lock_guard<std::mutex> lock(mutex_);
  wake_ = nullptr;
  head_.reset();
  data_ = std::string();
}

HttpExchange::HttpExchange(HttpRequest request,
                           std::shared_ptr<ExchangeQueue> queue)
    : request_(std::move(request)), queue_(std::move(queue)) {}

HttpExchange::~HttpExchange() {
  std::function<void()> dropped;  // outside the lock
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  dropped = std::exchange(queue_->on_gone_, nullptr);
  if (queue_->finished_) return;
  if (queue_->answered_) {
    queue_->Break();
    return;
  }
  queue_->head_ = ErrorResponse(500, "the request was dropped");
  queue_->answered_ = queue_->finished_ = true;
  queue_->Wake();
}

void HttpExchange::Respond(HttpResponse response) {
  std::function<void()> dropped;
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  FACET_CHECK(!queue_->answered_);
  dropped = std::exchange(queue_->on_gone_, nullptr);
  queue_->head_ = std::move(response);
  queue_->answered_ = queue_->finished_ = true;
  queue_->Wake();
}

void HttpExchange::StartStream(HttpResponse head) {
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  FACET_CHECK(!queue_->answered_);
  queue_->head_ = std::move(head);
  queue_->answered_ = queue_->streamed_ = true;
  if (queue_->gone_) {
    queue_->Break();
  } else {
    queue_->Wake();
  }
}

bool HttpExchange::Write(const std::string& data, bool at_once) {
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  FACET_CHECK(queue_->streamed_ && !queue_->finished_);
  if (queue_->gone_ || queue_->broken_) return false;
  if (at_once) queue_->max_buffered_ += data.size();
  if (queue_->data_.size() + data.size() > queue_->max_buffered_) {
    queue_->Break();
    return false;
  }
  queue_->data_ += data;
  queue_->Wake();
  return true;
}

void HttpExchange::Finish() {
  std::function<void()> dropped;
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  FACET_CHECK(queue_->streamed_);
  dropped = std::exchange(queue_->on_gone_, nullptr);
  queue_->finished_ = true;
  queue_->Wake();
}

void HttpExchange::OnGone(std::function<void()> callback) {
  {
    const std::lock_guard<std::mutex> lock(queue_->mutex_);
    if (!queue_->gone_) {
      if (!queue_->finished_) queue_->on_gone_ = std::move(callback);
      return;
    }
  }
  callback();
}

bool HttpExchange::gone() const {
  const std::lock_guard<std::mutex> lock(queue_->mutex_);
  return queue_->gone_ || queue_->broken_;
}

}  // namespace facet
