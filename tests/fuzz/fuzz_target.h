// A fuzz target: the function that libFuzzer and the replay test call.
#ifndef FACET_TESTS_FUZZ_FUZZ_TARGET_H_
#define FACET_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>

// Any input is fine; what must not happen ends the process. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // FACET_TESTS_FUZZ_FUZZ_TARGET_H_
