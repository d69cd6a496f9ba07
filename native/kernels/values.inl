// What is done to values between dense layers and attention; the including file says what a Value
// is, how vectors of it are loaded and stored, and which value_gelu is exact enough for it.

// The first n values only: after them are those of another head.
inline void store_first(Value* p, vec v, int n) {
    if (n >= lanes) return store(p, v);
    Value some[lanes];
    store(some, v);
    __builtin_memcpy(p, some, n * sizeof(Value));
}

void rotate(Values x, int rows, int heads, int head_dim, Rotation rotation) {
    const int half = head_dim / 2;
    for (int r = 0; r < rows; ++r) {
        const float* cosines = rotation.cosines + r * rotation.stride;
        const float* sines = rotation.sines + r * rotation.stride;
        Value* first = static_cast<Value*>(x.data) + r * x.stride;
        for (int head = 0; head < heads; ++head, first += head_dim)
            for (int c = 0; c < half; c += lanes) {
                Value* const second = first + half;
                const vec a = load(first + c), b = load(second + c);
                const vec cosine = load(cosines + c), sine = load(sines + c);
                store_first(first + c, a * cosine - b * sine, half - c);
                store_first(second + c, b * cosine + a * sine, half - c);
            }
    }
}

void gate(Values x, int rows, int n, Activation activation) {
    const size_t apart = round_up(n, column_padding);
    const auto with = [&](auto f) {
        for (int r = 0; r < rows; ++r) {
            Value* row = static_cast<Value*>(x.data) + r * x.stride;
            for (int c = 0; c < n; c += lanes) store(row + c, f(load(row + c)) * load(row + apart + c));
        }
    };
    switch (activation) {
        case Activation::none: return with([](vec v) { return v; });
        case Activation::gelu: return with([](vec v) { return value_gelu(v); });
        case Activation::gelu_tanh: return with([](vec v) { return gelu_tanh(v); });
        case Activation::relu: return with([](vec v) { return larger(v, vec{}); });
        case Activation::tanh: return with([](vec v) { return tanh(v); });
    }
}
