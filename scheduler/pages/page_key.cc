#include "scheduler/pages/page_key.h"

#include <openssl/evp.h>

#include <memory>

#include "kernels/base/check.h"

namespace facet {
namespace {

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Looking the algorithm up costs more than hashing a page, so it is done once
// per thread.
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    FACET_CHECK(context_ != nullptr);
    FACET_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void Add(const void* data, size_t size) {
    FACET_CHECK(EVP_DigestUpdate(context_.get(), data, size) == 1);
  }

  // Of what was added since the last time.
  PageKey Finish() {
    PageKey key;
    FACET_CHECK(EVP_DigestFinal_ex(context_.get(), key.bytes.data(), nullptr) ==
                1);
    FACET_CHECK(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
    return key;
  }

 private:
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context_;
};

Sha256& ThisThreadsSha256() {
  thread_local Sha256 sha256;
  return sha256;
}

}  // namespace

PageKey RootPageKey(const std::string& salt) {
  Sha256& sha256 = ThisThreadsSha256();
  sha256.Add(salt.data(), salt.size());
  return sha256.Finish();
}

PageKey ChildPageKey(const PageKey& parent, absl::Span<const int32_t> tokens) {
  Sha256& sha256 = ThisThreadsSha256();
  sha256.Add(parent.bytes.data(), parent.bytes.size());
  sha256.Add(tokens.data(), tokens.size() * sizeof(int32_t));
  return sha256.Finish();
}

const PageKey& PageKeys::Of(int64_t page, absl::Span<const int32_t> tokens,
                            int page_tokens) {
  while (static_cast<int64_t>(keys_.size()) <= page) {
    const size_t next = keys_.size();
    FACET_DCHECK((next + 1) * page_tokens <= tokens.size());
    keys_.push_back(
        ChildPageKey(next == 0 ? root_ : keys_.back(),
                     tokens.subspan(next * page_tokens, page_tokens)));
  }
  return keys_[page];
}

}  // namespace facet
