// The control plane against one side that says what it likes: a coordinator
// among hostile workers, and a worker under a hostile coordinator.
#ifndef FACET_TESTS_FUZZ_WIRE_HOSTILE_SPEECH_H_
#define FACET_TESTS_FUZZ_WIRE_HOSTILE_SPEECH_H_

#include "tests/fuzz/wire/mutate.h"

namespace facet {

// One world of two workers, one of which is hostile. Ends the process where a
// step ends well though the honest one never answered.
void MeetHostileWorker(Mutator& random);

// One session. Ends the process where it does not end when its stream does.
void MeetHostileCoordinator(Mutator& random);

}  // namespace facet

#endif  // FACET_TESTS_FUZZ_WIRE_HOSTILE_SPEECH_H_
