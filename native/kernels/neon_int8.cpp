// Compiled with -march=armv8.2-a+dotprod.
#include <arm_neon.h>

#include "kernels.h"

#define LANES 4
#define TILE_ROWS 9
#define KERNELS neon_int8
#define KERNELS_ISA "neon"

namespace crossrank {
namespace {

#include "vectors.inl"

using Digit = int8_t;
using Weight = int8_t;
constexpr int digit_offset = 0;

inline ivec nearest(vec v) { return (ivec)vcvtnq_s32_f32((float32x4_t)v); }

inline ivec dot(ivec sums, ivec x, ivec w) {
    return (ivec)vdotq_s32((int32x4_t)sums, (int8x16_t)x, (int8x16_t)w);
}

#include "int8_dot.inl"

}  // namespace
}  // namespace crossrank

#include "int8.inl"
