// The one addition of an all-reduce, in a file of its own so that it is
// compiled to vector instructions in every build.
#ifndef FACET_RUNTIME_COMM_ADD_FLOATS_H_
#define FACET_RUNTIME_COMM_ADD_FLOATS_H_

#include <cstddef>

namespace facet {

// sum[i] += values[i]. The ranges do not overlap.
void AddFloats(float* sum, const float* values, size_t count);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_ADD_FLOATS_H_
