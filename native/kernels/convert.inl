// Conversion to float and packing into panels. All of it is exact, so
// these loops may be left to the compiler's vectoriser.

inline float to_float(float v) { return v; }

struct Half {
    uint16_t bits;
};

struct Bfloat {
    uint16_t bits;
};

inline float as_float(uint32_t v) {
    float f;
    __builtin_memcpy(&f, &v, sizeof f);
    return f;
}

// Without branches, so that it vectorises, and without denormal arithmetic, which is slow.
inline float to_float(Half h) {
    const uint32_t magnitude = uint32_t(h.bits & 0x7fff) << 13;
    const uint32_t exponent = magnitude & 0x0f800000;
    const uint32_t special = exponent == 0x0f800000 ? 0x38000000u : 0u;  // infinity, NaN
    const uint32_t normal = magnitude + 0x38000000 + special;
    // A denormal half is an integer times 2^-24: build 2^-14 (1 + fraction), take 2^-14 away.
    const float denormal = as_float(magnitude + 0x38800000) - as_float(0x38800000);
    uint32_t small;
    __builtin_memcpy(&small, &denormal, sizeof small);
    const uint32_t sign = uint32_t(h.bits & 0x8000) << 16;
    return as_float((exponent == 0 ? small : normal) | sign);
}

inline float to_float(Bfloat b) { return as_float(uint32_t(b.bits) << 16); }

// Transposes [rows, depth] into panels [ceil(rows / panel)][depth][panel].
template <class T>
inline void pack_rows(const T* src, size_t stride, int rows, int depth, float* dst) {
    constexpr int run = 16;  // one cache line of floats of each row at a time
    for (int first = 0; first < rows; first += panel) {
        const int count = rows - first < panel ? rows - first : panel;
        for (int k = 0; k < depth; k += run) {
            const int width = depth - k < run ? depth - k : run;
            float block[panel][run] = {};
            for (int r = 0; r < count; ++r) {
                const T* row = src + (first + r) * stride + k;
                if (width == run)  // a constant count vectorises without a tail
                    for (int i = 0; i < run; ++i) block[r][i] = to_float(row[i]);
                else
                    for (int i = 0; i < width; ++i) block[r][i] = to_float(row[i]);
            }
            for (int i = 0; i < width; ++i)
                for (int r = 0; r < panel; ++r) dst[i * panel + r] = block[r][i];
            dst += width * panel;
        }
    }
}

// Copies [rows, columns] into panels [ceil(columns / panel)][rows][panel].
inline void pack_columns(const float* src, size_t stride, int rows, int columns, float* dst) {
    for (int first = 0; first < columns; first += panel) {
        const int count = columns - first < panel ? columns - first : panel;
        for (int r = 0; r < rows; ++r, dst += panel)
            for (int c = 0; c < panel; ++c) dst[c] = c < count ? src[r * stride + first + c] : 0.0f;
    }
}

template <class T>
inline void add(const T* src, int n, float* dst) {
    for (int i = 0; i < n; ++i) dst[i] += to_float(src[i]);
}

void add_row(const void* src, DType dtype, int n, float* dst) {
    switch (dtype) {
        case DType::f32: return add(static_cast<const float*>(src), n, dst);
        case DType::f16: return add(static_cast<const Half*>(src), n, dst);
        case DType::bf16: return add(static_cast<const Bfloat*>(src), n, dst);
    }
}
