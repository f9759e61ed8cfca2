// A rank of the data plane against a peer that means harm: before, in and after
// the handshake.
#ifndef FACET_TESTS_FUZZ_WIRE_HOSTILE_PEER_H_
#define FACET_TESTS_FUZZ_WIRE_HOSTILE_PEER_H_

#include "tests/fuzz/wire/mutate.h"

namespace facet {

// One world. Ends the process where a call returns no error though its peer
// said nothing right, or an honest world does not form beside strangers.
void MeetHostilePeer(Mutator& random);

}  // namespace facet

#endif  // FACET_TESTS_FUZZ_WIRE_HOSTILE_PEER_H_
