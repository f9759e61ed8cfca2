#include "rpc/coordinator/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace facet {

std::string StopMatcher::Push(absl::string_view text) {
  held_.append(text.data(), text.size());
  size_t match_end = std::string::npos;
  size_t match_begin = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < match_end || (end == match_end && begin < match_begin)) {
      match_end = end;
      match_begin = begin;
    }
  }
  if (match_begin != std::string::npos) {
    stopped_ = true;
    held_.resize(match_begin);
    return std::exchange(held_, std::string());
  }

  size_t keep = 0;
  for (const std::string& stop : stops_) {
    size_t length = std::min(stop.size() - 1, held_.size());
    while (length > keep &&
           !absl::EndsWith(held_, absl::string_view(stop).substr(0, length))) {
      --length;
    }
    keep = std::max(keep, length);
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, certain.size());
  return certain;
}

}  // namespace facet
