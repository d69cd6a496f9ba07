// Compiled with -mavx2 -mfma -mavxvnni, whose multiplication takes rows without signs.
#include <immintrin.h>

#include "kernels.h"

#define LANES 8
#define TILE_ROWS 6
#define KERNELS avxvnni_int8
#define KERNELS_ISA "avx2"

namespace crossrank {
namespace {

#include "vectors.inl"

using Digit = uint8_t;
using Weight = int8_t;
constexpr int digit_offset = 128;

inline ivec nearest(vec v) { return (ivec)_mm256_cvtps_epi32((__m256)v); }

inline ivec dot(ivec sums, ivec x, ivec w) {
    return (ivec)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)x, (__m256i)w);
}

#include "int8_dot.inl"

}  // namespace
}  // namespace crossrank

#include "int8.inl"
