// Compiled with -mavx512*. Thirty-two registers: twenty-four accumulators, two weights, inputs.
#define LANES 16
#define TILE_ROWS 12
#define KERNELS avx512_fp32
#define KERNELS_ISA "avx512"
#include "fp32.inl"
