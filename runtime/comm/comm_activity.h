// Where a rank stands in its calls to peers, for those who look on while it
// waits.
#ifndef FACET_RUNTIME_COMM_COMM_ACTIVITY_H_
#define FACET_RUNTIME_COMM_COMM_ACTIVITY_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace facet {

struct CommActivity {
  std::string call;      // the oldest unfinished one; "": there is none
  int waits_for = -1;    // a rank of the world that it needs bytes of or to
  absl::Duration waits;  // for how long nothing has moved
  uint64_t moves = 0;    // grows whenever something does
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_COMM_ACTIVITY_H_
