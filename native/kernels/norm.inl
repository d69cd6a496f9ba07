// Layer normalisation; the including file says what a Value is, and how a vector is stored as such.

// The sum of term(column) over n columns. Four chains, because one would wait for each addition.
template <class Term>
inline float sum_of(int n, Term term) {
    vec total[4] = {};
    int c = 0;
    for (; c + 4 * lanes <= n; c += 4 * lanes)
        for (int i = 0; i < 4; ++i) total[i] += term(c + i * lanes);
    for (; c + lanes <= n; c += lanes) total[0] += term(c);
    if (c < n) total[1] += columns_below(c, n) ? term(c) : vec{};
    return sum((total[0] + total[1]) + (total[2] + total[3]));
}

// Two passes, because the one-pass variance E[x^2] - E[x]^2 cancels.
void layer_norm(Rows x, int rows, int n, const float* weight, const float* bias, float eps,
                Rows y, Values values) {
    for (int r = 0; r < rows; ++r) {
        const float* in = x.data + r * x.stride;
        float* out = y.data + r * y.stride;
        Value* as_values = static_cast<Value*>(values.data) + r * values.stride;
        const vec mean = splat(sum_of(n, [&](int c) { return load(in + c); }) / float(n));
        const float squares = sum_of(n, [&](int c) {
            const vec d = load(in + c) - mean;
            return d * d;
        });
        const float variance = squares / float(n);
        // An overflow must not end as 1 / inf = 0 and a row of plausible numbers: inf - inf is NaN.
        const vec inverse = splat(1.0f / __builtin_sqrtf(variance + eps) + (variance - variance));
        for (int c = 0; c < n; c += lanes) {
            const vec v = (load(in + c) - mean) * inverse * load(weight + c) + load(bias + c);
            if (y.data) store(out + c, v);
            store(as_values + c, v);
        }
    }
}

void to_values(Rows x, int rows, int n, Values values) {
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < n; c += lanes)
            store(static_cast<Value*>(values.data) + r * values.stride + c,
                  load(x.data + r * x.stride + c));
}
