// Four lanes: what every 64-bit processor has (SSE2, NEON), with no flags of its own.
#define LANES 4
#define TILE_ROWS 6
#define KERNELS portable_kernels
#define KERNELS_NAME "portable"
#include "fp32.inl"
