#include "rpc/cli/load_progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/time/clock.h"
#include "rpc/cli/byte_size.h"

namespace facet {

LoadProgressBar::LoadProgressBar(bool always)
    : terminal_(isatty(STDERR_FILENO) == 1),
      always_(always),
      start_(absl::Now()) {}

void LoadProgressBar::Update(int64_t done, int64_t total) {
  const std::lock_guard<std::mutex> lock(mutex_);
  done_ = std::max(done_, done);
  total_ = total;
  if (!terminal_ || absl::Now() - printed_ < absl::Milliseconds(100)) return;
  Print(/*last=*/false);
}

void LoadProgressBar::Finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (terminal_ || always_) Print(/*last=*/true);
}

void LoadProgressBar::Print(bool last) {
  printed_ = absl::Now();
  const double seconds = absl::ToDoubleSeconds(printed_ - start_);
  const double gb_per_s =
      seconds > 0 ? static_cast<double>(done_) / seconds / 1e9 : 0;
  constexpr int kWidth = 24;
  const int filled =
      total_ > 0 ? static_cast<int>(kWidth * std::min(done_, total_) / total_)
                 : 0;
  std::string bar(kWidth, '.');
  std::fill(bar.begin(), bar.begin() + filled, '#');
  if (last) {
    std::fprintf(stderr, "%sloaded %s in %.1f s (%.2f GB/s)\n",
                 terminal_ ? "\r\033[K" : "", FormatByteSize(done_).c_str(),
                 seconds, gb_per_s);
  } else {
    std::fprintf(stderr, "\rloading [%s] %s of %s, %.2f GB/s\033[K",
                 bar.c_str(), FormatByteSize(done_).c_str(),
                 FormatByteSize(total_).c_str(), gb_per_s);
  }
  std::fflush(stderr);
}

}  // namespace facet
