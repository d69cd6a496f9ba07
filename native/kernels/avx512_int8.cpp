// Compiled with -mavx512* -mavx512vnni, whose multiplication takes rows without signs.
#include <immintrin.h>

#include "kernels.h"

#define LANES 16
#define TILE_ROWS 12
#define KERNELS avx512_int8
#define KERNELS_ISA "avx512"

namespace crossrank {
namespace {

#include "vectors.inl"

using Digit = uint8_t;
using Weight = int8_t;
constexpr int digit_offset = 128;

inline ivec nearest(vec v) { return (ivec)_mm512_cvtps_epi32((__m512)v); }

inline ivec dot(ivec sums, ivec x, ivec w) {
    return (ivec)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, (__m512i)w);
}

#include "int8_dot.inl"

}  // namespace
}  // namespace crossrank

#include "int8.inl"
