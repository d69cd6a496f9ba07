// A tile of integer sums where an instruction adds to each lane the products of four bytes of a row
// with four bytes of a column: dot(sums, four bytes of a row in each lane, weights).

constexpr int group = 4 / sizeof(Weight);
static_assert(sizeof(Digit) == sizeof(Weight));

inline int group_of(int) { return group; }

typedef ivec loose_ivec __attribute__((aligned(4), may_alias));

inline ivec load_integers(const void* p) { return *static_cast<const loose_ivec*>(p); }

// As multiply_tile does it in fp32.
__attribute__((noinline)) void multiply_digits(const Digit* x, size_t ldx, const Weight* w,
                                               const int32_t* start, int depth, int32_t* sums) {
    constexpr int rows = TILE_ROWS;
    ivec acc[rows][2];
    const ivec start0 = load_integers(start), start1 = load_integers(start + lanes);
    const Digit* third[rows / 3];
#pragma GCC unroll 4
    for (int i = 0; i < rows / 3; ++i) third[i] = x + 3 * i * ldx;
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        acc[r][0] = start0;
        acc[r][1] = start1;
    }
    for (int k = 0; k < depth; k += group, w += 2 * lanes * group) {
        const ivec w0 = load_integers(w), w1 = load_integers(w + lanes * group);
#pragma GCC unroll 12
        for (int r = 0; r < rows; ++r) {
            int32_t four;
            __builtin_memcpy(&four, third[r / 3] + r % 3 * ldx + k, sizeof four);
            const ivec xk = four - ivec{};
            acc[r][0] = dot(acc[r][0], xk, w0);
            acc[r][1] = dot(acc[r][1], xk, w1);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        loose_ivec* to = reinterpret_cast<loose_ivec*>(sums + 2 * r * lanes);
        to[0] = acc[r][0];
        to[1] = acc[r][1];
    }
}
