// The functions behind SamplingVariants(); private to this folder.
#ifndef FACET_KERNELS_SAMPLING_SAMPLING_VARIANTS_H_
#define FACET_KERNELS_SAMPLING_SAMPLING_VARIANTS_H_

#include "kernels/sampling/sampling.h"

namespace facet {

float MaxLogitReference(const float* x, int64_t count);
float MaxLogitAvx2(const float* x, int64_t count);
float MaxLogitAvx512(const float* x, int64_t count);

float SumExpReference(const float* x, int64_t count, float max);
float SumExpAvx2(const float* x, int64_t count, float max);
float SumExpAvx512(const float* x, int64_t count, float max);

void WeighReference(float* x, int64_t count, float best, float temperature);
void WeighAvx2(float* x, int64_t count, float best, float temperature);
void WeighAvx512(float* x, int64_t count, float best, float temperature);

uint64_t MassReference(const float* weights, int64_t count);
uint64_t MassAvx2(const float* weights, int64_t count);
uint64_t MassAvx512(const float* weights, int64_t count);

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_SAMPLING_VARIANTS_H_
