// What int8 does to a row of x and to a column of W before it rounds them; included by its kernels.
//
// A row has one scale, and a few numbers of a transformer's activations are far larger than the
// rest, which beside them are rounded to a few steps. So both sides of a product are turned by the
// same orthogonal matrix: the product stays, and a large number becomes sixteen of a quarter of its
// size. The idea is that of QuaRot (arXiv:2404.00456); this matrix costs four additions a number, and
// none within a vector. It is made of one for four numbers,
//
//   [-1  1  1  1]
//   [ 1 -1  1  1]
//   [ 1  1 -1  1]
//   [ 1  1  1 -1]
//
// which is twice an orthogonal one: first over the quarters of each 64 numbers, then over the
// quarters of the whole. All its rows add up to the same, so that a mean, as numbers have after a
// GELU, is spread over all of them and not gathered in a few.

constexpr int depth_step = row_padding;  // filled up with zeros

inline int depth_of(int in) { return int(round_up(in, depth_step)); }

// What a product of two mixed vectors is to be divided by; a power of two.
inline float mixed_by(int in) { return in > depth_step ? 16.0f : 4.0f; }

constexpr float most_int8 = 127.0f;

inline float factor_to_int8(float most) { return most > 0 ? most_int8 / most : 0.0f; }

inline void mix_four(vec& a, vec& b, vec& c, vec& d) {
    const vec ab = a + b, cd = c + d, less_b = a - b, less_d = c - d;
    a = cd - less_b;
    b = cd + less_b;
    c = ab - less_d;
    d = ab + less_d;
}

// The largest magnitude, by its bits: they are ordered like the numbers, and those of a NaN are
// above all others.
inline float most_of(ivec magnitudes) {
    int32_t most = 0;
    for (int i = 0; i < lanes; ++i) most = magnitudes[i] > most ? magnitudes[i] : most;
    return as_float(uint32_t(most));
}

// Mixes n numbers, of which vector_at(c) is the vector from column c, into depth_of(n) of them, and
// returns their largest magnitude. Additions in one order: the same bits on every instruction set.
// The numbers may be in `to` already.
template <class VectorAt>
inline float mix(int n, VectorAt vector_at, float* to) {
    constexpr int apart = depth_step / 4;
    static_assert(apart % lanes == 0);
    const auto mix_step = [&](int first, auto at) {
        for (int i = first; i < first + apart; i += lanes) {
            vec a = at(i), b = at(i + apart), c = at(i + 2 * apart), d = at(i + 3 * apart);
            mix_four(a, b, c, d);
            store(to + i, a);
            store(to + i + apart, b);
            store(to + i + 2 * apart, c);
            store(to + i + 3 * apart, d);
        }
    };
    const int depth = depth_of(n), whole = n / depth_step * depth_step;
    for (int first = 0; first < whole; first += depth_step) mix_step(first, vector_at);
    if (whole < n)
        mix_step(whole, [&](int c) {
            return c < n ? (columns_below(c, n) ? vector_at(c) : vec{}) : vec{};
        });
    const int quarter = depth / 4;
    ivec most = {};
    const auto widen = [&](vec v) {
        const ivec magnitude = bits(v) & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    };
    for (int i = 0; i < quarter; i += lanes) {
        float *const q0 = to + i, *const q1 = q0 + quarter, *const q2 = q1 + quarter,
                     *const q3 = q2 + quarter;
        vec a = load(q0), b = load(q1), c = load(q2), d = load(q3);
        if (depth > depth_step) mix_four(a, b, c, d);
        store(q0, a);
        store(q1, b);
        store(q2, c);
        store(q3, d);
        widen(a);
        widen(b);
        widen(c);
        widen(d);
    }
    return most_of(most);
}

template <class T>
inline float mix_weights(const T* weights, int in, float* to) {
    for (int k = 0; k < in; ++k) to[k] = to_float(weights[k]);
    return mix(in, [&](int c) { return load(to + c); }, to);
}
