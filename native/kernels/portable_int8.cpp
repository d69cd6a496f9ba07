// Four lanes, and sums that the compiler vectorises: of int16, because every processor multiplies
// and adds these.
#include "kernels.h"

#define LANES 4
#define TILE_ROWS 6
#define KERNELS portable_int8
#define KERNELS_ISA "portable"

namespace crossrank {
namespace {

#include "vectors.inl"

using Digit = int16_t;
using Weight = int16_t;
constexpr int digit_offset = 0;

inline int group_of(int in) { return int(round_up(in, row_padding)); }  // each column by itself

// NOTE: the product that comes in must be rounded, as it is elsewhere, and not be contracted with
// the addition; so it goes through memory.
inline ivec nearest(vec v) {
    __asm__("" : "+m"(v));
    const vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    return bits(v + magic) - bits(magic);
}

// Two rows and four columns at a time: each load is used more than once.
__attribute__((noinline)) void multiply_digits(const Digit* x, size_t ldx, const Weight* w,
                                               const int32_t*, int depth, int32_t* sums) {
    constexpr int columns = 2 * lanes;
    for (int r = 0; r < TILE_ROWS; r += 2, x += 2 * ldx)
        for (int c = 0; c < columns; c += 4) {
            const Weight* column = w + size_t(c) * depth;
            int32_t sum[2][4] = {};
            for (int k = 0; k < depth; ++k)
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i)
                    sum[i / 4][i % 4] += x[i / 4 * ldx + k] * column[i % 4 * depth + k];
            for (int i = 0; i < 8; ++i) sums[(r + i / 4) * columns + c + i % 4] = sum[i / 4][i % 4];
        }
}

}  // namespace
}  // namespace crossrank

#include "int8.inl"
