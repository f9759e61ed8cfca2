// Names that nobody else has and secrets that nobody guesses.
#ifndef FACET_RUNTIME_COMM_RANDOM_NAME_H_
#define FACET_RUNTIME_COMM_RANDOM_NAME_H_

#include <string>

namespace facet {

// 128 bits from the kernel, in hex. A process id would not do: two containers
// may have the same one and still share a machine's /dev/shm.
std::string RandomName();

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_RANDOM_NAME_H_
