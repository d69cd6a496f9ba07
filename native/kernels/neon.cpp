// NEON, which every 64-bit ARM processor has. Thirty-two registers: eighteen accumulators, two
// weights, inputs.
#define LANES 4
#define TILE_ROWS 9
#define KERNELS neon_fp32
#define KERNELS_ISA "neon"
#include "fp32.inl"
