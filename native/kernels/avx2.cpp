// Compiled with -mavx2 -mfma. Sixteen registers: twelve accumulators, two weights, one input.
#define LANES 8
#define TILE_ROWS 6
#define KERNELS avx2_fp32
#define KERNELS_ISA "avx2"
#include "fp32.inl"
