// Which instruction sets this machine can run, and which one is in use.
#ifndef FACET_KERNELS_BASE_CPU_H_
#define FACET_KERNELS_BASE_CPU_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet {

// In rising order; a machine that runs one runs all before it.
enum class Isa { kReference, kAvx2, kAvx512, kAvx512Bf16 };

const char* Name(Isa isa);

// The best this machine runs: AVX2 needs FMA, F16C and BMI2 beside it, AVX-512
// needs F, BW, DQ and VL.
Isa BestIsa();

// Every instruction set this machine runs, best first.
absl::Span<const Isa> SupportedIsas();

// What kernels dispatch on: FACET_ISA from the environment ("reference",
// "avx2", "avx512", "avx512bf16"), else BestIsa(). Read once.
//
// ActiveIsaStatus() is INVALID_ARGUMENT when FACET_ISA names nothing known or
// something this machine lacks; call it before any kernel runs.
absl::StatusOr<Isa> ActiveIsaStatus();
Isa ActiveIsa();

// For tests: makes ActiveIsa() return `isa` from now on. Not thread-safe.
void SetActiveIsaForTest(Isa isa);

}  // namespace facet

#endif  // FACET_KERNELS_BASE_CPU_H_
