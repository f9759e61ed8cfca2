#include "rpc/coordinator/journal_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace facet {
namespace {

constexpr absl::string_view kMark = "FJR1";
constexpr size_t kHead = 28;
constexpr size_t kChunk = size_t{1} << 20;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ (value & 1 ? 0x82f63b78u : 0u);
    }
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

template <typename Number>
void Put(Number value, std::string* out) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

template <typename Number>
Number Get(const char* from) {
  Number value = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    value |= static_cast<Number>(static_cast<uint8_t>(from[i])) << (8 * i);
  }
  return value;
}

}  // namespace

uint32_t Crc32c(absl::string_view data) {
  uint32_t crc = ~0u;
  for (const char c : data) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  }
  return ~crc;
}

void AppendRecord(uint32_t kind, uint64_t id, absl::string_view payload,
                  std::string* out) {
  const size_t begin = out->size();
  out->append(kMark.data(), kMark.size());
  Put(static_cast<uint32_t>(payload.size()), out);
  Put(id, out);
  Put(kind, out);
  Put(Crc32c(payload), out);
  Put(Crc32c(absl::string_view(*out).substr(begin)), out);
  out->append(payload.data(), payload.size());
}

bool JournalReader::Fill(size_t count) {
  while (buffer_.size() - at_ < count) {
    if (ended_) return false;
    buffer_.erase(0, at_);
    at_ = 0;
    const size_t size = buffer_.size();
    buffer_.resize(size + kChunk);
    ssize_t got;
    do {
      got = read(fd_, buffer_.data() + size, kChunk);
    } while (got < 0 && errno == EINTR);
    buffer_.resize(size + (got > 0 ? got : 0));
    ended_ = got <= 0;
  }
  return true;
}

void JournalReader::Skip() {
  size_t next = buffer_.find(kMark[0], at_ + 1);
  if (next == std::string::npos) next = buffer_.size();
  skipped_ += static_cast<int64_t>(next - at_);
  at_ = next;
}

bool JournalReader::Next(JournalRecord* record) {
  while (Fill(1)) {
    if (!Fill(kHead)) {
      Skip();
      continue;
    }
    const char* const head = buffer_.data() + at_;
    const auto length = Get<uint32_t>(head + 4);
    if (std::memcmp(head, kMark.data(), kMark.size()) != 0 ||
        Get<uint32_t>(head + 24) !=
            Crc32c(absl::string_view(head, kHead - 4)) ||
        length > kMaxJournalPayload || !Fill(kHead + length)) {
      Skip();
      continue;
    }
    // Filling may have moved it.
    const char* const whole = buffer_.data() + at_;
    const absl::string_view payload(whole + kHead, length);
    if (Get<uint32_t>(whole + 20) != Crc32c(payload)) {
      Skip();
      continue;
    }
    record->id = Get<uint64_t>(whole + 8);
    record->kind = Get<uint32_t>(whole + 16);
    record->payload.assign(payload.data(), payload.size());
    at_ += kHead + length;
    return true;
  }
  return false;
}

}  // namespace facet
