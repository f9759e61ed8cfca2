#include "rpc/cli/group_environment.h"

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr int kMostPods = 4096;

// `value` is left alone where the variable is not set.
absl::Status ReadNumber(const char* name, int least, int* value) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return absl::OkStatus();
  int number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < least ||
      number > kMostPods) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment: ", name, " is \"", text,
                     "\", expected a whole number from ", least));
  }
  *value = number;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GroupEnvironment> ReadGroupEnvironment() {
  const char* const leader = std::getenv("LWS_LEADER_ADDRESS");
  if (leader == nullptr || *leader == '\0') {
    return absl::NotFoundError(
        "LWS_LEADER_ADDRESS is not set: this is no pod of a LeaderWorkerSet");
  }
  GroupEnvironment group;
  group.leader = leader;
  FACET_RETURN_IF_ERROR(ReadNumber("LWS_GROUP_SIZE", 1, &group.size));
  FACET_RETURN_IF_ERROR(ReadNumber("LWS_WORKER_INDEX", 0, &group.worker_index));
  if (group.worker_index >= group.size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environment: LWS_WORKER_INDEX is ", group.worker_index,
        ", expected less than LWS_GROUP_SIZE, which is ", group.size));
  }
  return group;
}

}  // namespace facet
