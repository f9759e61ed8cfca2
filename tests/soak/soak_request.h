// The users of a soak run: what each asks for, how it behaves while it is
// answered, and what it may get.
#ifndef FACET_TESTS_SOAK_SOAK_REQUEST_H_
#define FACET_TESTS_SOAK_SOAK_REQUEST_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"

namespace facet {

enum class UserKind : uint8_t {
  kPlain,     // any sampling, priority, n; reads to the end
  kRepeated,  // one of a few whose answers never change
  kCancels,   // leaves after some tokens
  kSlow,      // stops reading for a while
  kVanishes,  // a process that is killed
  kHurried,   // has a deadline that may be too short
  kShaped,    // wants an output format
  kTooMuch,   // asks for what cannot be
  kCrowd      // more at once than the queue holds
};
inline constexpr int kUserKinds = 9;
const char* Name(UserKind kind);

struct SoakUser {
  UserKind kind = UserKind::kPlain;
  std::vector<TextRequest> requests;  // one, but for kCrowd
  int64_t cancel_after = -1;          // tokens
  absl::Duration stall;               // before the second event is read
  int repeated = -1;                  // which of the unchanging ones
};

// One answer as it came.
struct SoakAnswer {
  std::vector<int32_t> tokens;
  std::string text;  // thoughts left out
  FinishReason finish = FinishReason::kNone;
};

class SoakUsers {
 public:
  // `stall` is how long slow readers do not read.
  SoakUsers(uint64_t seed, absl::Duration stall)
      : stall_(stall), random_(seed) {}

  SoakUser Next();
  SoakUser OfKind(UserKind kind);

 private:
  int64_t Between(int64_t least, int64_t most);
  bool Chance(double probability);
  std::string Prompt();
  TextRequest Plain();
  TextRequest Repeated(int which) const;

  const absl::Duration stall_;
  std::mt19937_64 random_;
};

// OK when the user may see `status` and `answers`, those of its one request;
// otherwise says what is wrong.
absl::Status CheckOutcome(const SoakUser& user, const absl::Status& status,
                          const std::vector<SoakAnswer>& answers);

}  // namespace facet

#endif  // FACET_TESTS_SOAK_SOAK_REQUEST_H_
