// Names for what is in a page: equal keys, equal tokens at equal positions
// after equal tokens.
//
// The key of page i is SHA-256(key of page i - 1, the tokens of page i); that
// of the page before the first is SHA-256(salt). Nobody can make two different
// prefixes meet, and requests with different salts never do.
#ifndef FACET_SCHEDULER_PAGES_PAGE_KEY_H_
#define FACET_SCHEDULER_PAGES_PAGE_KEY_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace facet {

struct PageKey {
  std::array<uint8_t, 32> bytes = {};

  friend bool operator==(const PageKey& a, const PageKey& b) {
    return a.bytes == b.bytes;
  }
  template <typename H>
  friend H AbslHashValue(H h, const PageKey& key) {
    uint64_t word;  // any part of a digest is spread evenly
    std::memcpy(&word, key.bytes.data(), sizeof(word));
    return H::combine(std::move(h), word);
  }
};

PageKey RootPageKey(const std::string& salt);
PageKey ChildPageKey(const PageKey& parent, absl::Span<const int32_t> tokens);

// The keys of one sequence's pages, each computed once, when it is first asked
// for.
class PageKeys {
 public:
  PageKeys() = default;
  explicit PageKeys(const std::string& salt) : root_(RootPageKey(salt)) {}

  // Of page `page`; `tokens` are all of the sequence, the same as ever so far.
  // REQUIRES: they fill that page.
  const PageKey& Of(int64_t page, absl::Span<const int32_t> tokens,
                    int page_tokens);

 private:
  PageKey root_;
  std::vector<PageKey> keys_;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_KEY_H_
