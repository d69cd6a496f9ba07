// Compiled with -mavx2 -mfma. Products of bytes would saturate, so these are kept as int16.
#include <immintrin.h>

#include "kernels.h"

#define LANES 8
#define TILE_ROWS 6
#define KERNELS avx2_int8
#define KERNELS_ISA "avx2"

namespace crossrank {
namespace {

#include "vectors.inl"

using Digit = int16_t;
using Weight = int16_t;
constexpr int digit_offset = 0;

inline ivec nearest(vec v) { return (ivec)_mm256_cvtps_epi32((__m256)v); }

inline ivec dot(ivec sums, ivec x, ivec w) {
    return sums + (ivec)_mm256_madd_epi16((__m256i)x, (__m256i)w);
}

#include "int8_dot.inl"

}  // namespace
}  // namespace crossrank

#include "int8.inl"
