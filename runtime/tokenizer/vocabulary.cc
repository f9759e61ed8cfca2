#include "runtime/tokenizer/vocabulary.h"

#include "absl/hash/hash.h"

namespace facet {
namespace {

uint32_t HashOf(absl::string_view text) {
  return static_cast<uint32_t>(absl::Hash<absl::string_view>{}(text));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

Vocabulary::Vocabulary(absl::Span<const absl::string_view> spellings) {
  size_t bytes = 0;
  for (absl::string_view spelling : spellings) bytes += spelling.size();
  bytes_.reserve(bytes);
  begins_.reserve(spellings.size() + 1);
  size_t capacity = 16;
  while (capacity < 2 * spellings.size()) capacity *= 2;
  slots_.resize(capacity);
  for (size_t id = 0; id < spellings.size(); ++id) {
    bytes_.append(spellings[id].data(), spellings[id].size());
    begins_.push_back(static_cast<uint32_t>(bytes_.size()));
    if (spellings[id].empty()) continue;
    const uint32_t hash = HashOf(spellings[id]);
    size_t at = hash & (capacity - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (capacity - 1);
    slots_[at] = {hash, static_cast<int32_t>(id)};
  }
}

int32_t Vocabulary::Find(absl::string_view spelling) const {
  if (slots_.empty() || spelling.empty()) return -1;
  const uint32_t hash = HashOf(spelling);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].id >= 0; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && Spelling(slot.id) == spelling) return slot.id;
  }
  return -1;
}

int ByteOfSpelling(absl::string_view spelling) {
  if (spelling.size() != 6 || spelling.substr(0, 3) != "<0x" ||
      spelling[5] != '>') {
    return -1;
  }
  const int high = HexDigit(spelling[3]), low = HexDigit(spelling[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace facet
