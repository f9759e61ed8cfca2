#include "rpc/access/door_keeper.h"

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/access/api_keys.h"
#include "rpc/access/file_watch.h"
#include "rpc/access/key_limits.h"

namespace facet {
namespace {

// What passes share with the keeper, and outlives it where they do.
struct Ledger {
  std::mutex mutex;
  ApiKeys keys;
  KeyLimits limits;
};

class Pass : public DoorPass {
 public:
  Pass(std::shared_ptr<Ledger> ledger, std::string name)
      : ledger_(std::move(ledger)), name_(std::move(name)) {}
  ~Pass() override {
    const std::lock_guard<std::mutex> lock(ledger_->mutex);
    ledger_->limits.End(name_);
  }
  const std::string& key_name() const override { return name_; }

 private:
  const std::shared_ptr<Ledger> ledger_;
  const std::string name_;
};

// The key of "Bearer KEY".
absl::StatusOr<std::string> KeyOf(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "bearer ";
  if (authorization.empty()) {
    return absl::UnauthenticatedError(
        "no API key: send the header Authorization: Bearer KEY");
  }
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) {
    return absl::UnauthenticatedError(
        "Authorization has to be Bearer KEY, it is of another kind");
  }
  return std::string(
      absl::StripAsciiWhitespace(authorization.substr(kScheme.size())));
}

absl::Status Unknown() {
  return absl::UnauthenticatedError("the API key is not known here");
}

class DoorKeeperImpl : public DoorKeeper {
 public:
  DoorKeeperImpl(const std::string& path, const DoorKeeperOptions& options,
                 ApiKeys keys, std::vector<std::string> contents)
      : path_(path), options_(options), ledger_(std::make_shared<Ledger>()) {
    ledger_->keys = std::move(keys);
    watch_.emplace(std::vector<std::string>{path}, std::move(contents),
                   options.reload_interval,
                   [this](const std::vector<std::string>& now) {
                     const absl::Status status = Reload(now[0]);
                     if (options_.on_reload) options_.on_reload(status);
                   });
  }

  absl::StatusOr<std::shared_ptr<const DoorPass>> Admit(
      absl::string_view authorization, absl::Time now) override {
    FACET_ASSIGN_OR_RETURN(const std::string presented, KeyOf(authorization));
    const std::lock_guard<std::mutex> lock(ledger_->mutex);
    const ApiKey* key = ledger_->keys.Find(presented);
    if (key == nullptr) return Unknown();
    FACET_RETURN_IF_ERROR(ledger_->limits.Begin(*key, now));
    return std::make_shared<const Pass>(ledger_, key->name);
  }

  absl::Status Check(absl::string_view authorization) override {
    FACET_ASSIGN_OR_RETURN(const std::string presented, KeyOf(authorization));
    const std::lock_guard<std::mutex> lock(ledger_->mutex);
    return ledger_->keys.Find(presented) == nullptr ? Unknown()
                                                    : absl::OkStatus();
  }

 private:
  absl::Status Reload(const std::string& text) {
    absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(text);
    if (!keys.ok()) return Annotate(keys.status(), path_);
    const std::lock_guard<std::mutex> lock(ledger_->mutex);
    ledger_->keys = *std::move(keys);
    return absl::OkStatus();
  }

  const std::string path_;
  const DoorKeeperOptions options_;
  const std::shared_ptr<Ledger> ledger_;
  std::optional<FileWatch> watch_;  // last: uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<DoorKeeper>> DoorKeeper::Open(
    const std::string& path, const DoorKeeperOptions& options) {
  FACET_ASSIGN_OR_RETURN(std::vector<std::string> contents, ReadFiles({path}));
  absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(contents[0]);
  if (!keys.ok()) return Annotate(keys.status(), path);
  return std::make_unique<DoorKeeperImpl>(path, options, *std::move(keys),
                                          std::move(contents));
}

}  // namespace facet
