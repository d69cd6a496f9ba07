// Vectors of LANES floats, included by every file of kernels.

using std::size_t;

constexpr int lanes = LANES;

typedef float vec __attribute__((vector_size(lanes * 4)));
typedef int32_t ivec __attribute__((vector_size(lanes * 4)));
typedef vec loose_vec __attribute__((aligned(4), may_alias));

inline vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
inline vec splat(float v) { return v - vec{}; }  // v - 0 keeps -0, v + 0 would not
inline ivec bits(vec v) { return (ivec)v; }  // a cast between vectors keeps the bits
inline vec from_bits(ivec v) { return (vec)v; }

// a < b ? b : a, of which the compiler makes a comparison and a blend; the instruction does both.
#if LANES == 16 && defined(__AVX512F__)
inline vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)b, (__m512)a); }
inline vec smaller(vec a, vec b) { return (vec)_mm512_min_ps((__m512)b, (__m512)a); }
#elif LANES == 8 && defined(__AVX2__)
inline vec larger(vec a, vec b) { return (vec)_mm256_max_ps((__m256)b, (__m256)a); }
inline vec smaller(vec a, vec b) { return (vec)_mm256_min_ps((__m256)b, (__m256)a); }
#else
inline vec larger(vec a, vec b) { return a < b ? b : a; }
inline vec smaller(vec a, vec b) { return b < a ? b : a; }
#endif

inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// All ones where the lane's column, counted from `first`, is below n.
inline ivec columns_below(int first, int n) {
    ivec column = {};
    for (int i = 0; i < lanes; ++i) column[i] = i;
    return column + first < n;
}

template <int width>
inline vec swapped(vec v) {  // lanes i and i ^ width
#if LANES == 16
    return __builtin_shufflevector(v, v, 0 ^ width, 1 ^ width, 2 ^ width, 3 ^ width, 4 ^ width,
                                   5 ^ width, 6 ^ width, 7 ^ width, 8 ^ width, 9 ^ width,
                                   10 ^ width, 11 ^ width, 12 ^ width, 13 ^ width, 14 ^ width,
                                   15 ^ width);
#elif LANES == 8
    return __builtin_shufflevector(v, v, 0 ^ width, 1 ^ width, 2 ^ width, 3 ^ width, 4 ^ width,
                                   5 ^ width, 6 ^ width, 7 ^ width);
#else
    return __builtin_shufflevector(v, v, 0 ^ width, 1 ^ width, 2 ^ width, 3 ^ width);
#endif
}

// Halving, so that the order of the operations is fixed.
template <class Op>
inline float reduce(vec v, Op op) {
    if constexpr (lanes > 8) v = op(v, swapped<lanes / 2>(v));
    if constexpr (lanes > 4) v = op(v, swapped<4>(v));
    v = op(v, swapped<2>(v));
    return op(v, swapped<1>(v))[0];
}

inline float sum(vec v) {
    return reduce(v, [](vec a, vec b) { return a + b; });
}

inline float maximum(vec v) {
    return reduce(v, [](vec a, vec b) { return larger(a, b); });
}

#include "functions.inl"
