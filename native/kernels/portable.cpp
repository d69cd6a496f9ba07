// Four lanes: what every 64-bit processor has, with no flags of its own.
#define LANES 4
#define TILE_ROWS 6
#define KERNELS portable_fp32
#define KERNELS_ISA "portable"
#include "fp32.inl"
