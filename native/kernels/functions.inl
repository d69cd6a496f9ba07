// Elementwise functions, included by fp32.inl.

// Cephes' expf for arguments <= 0, to about 1 ulp; below the smallest normal number it stays
// there instead of going denormal.
inline vec exp(vec x) {
    x = larger(x, splat(-87.3365f));  // in this order a NaN passes through
    const vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const vec shifted = x * 1.44269504f + magic;
    const vec n = shifted - magic;
    vec r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * from_bits((bits(shifted) - bits(magic) + 127) << 23);
}

// Rational approximation on [-4, 4]; beyond it erf is 1 to within float.
inline vec erf(vec x) {
    x = smaller(larger(x, splat(-4.0f)), splat(4.0f));
    const vec s = x * x;
    vec p = splat(-2.72614225801306e-10f);
    p = p * s + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    vec q = splat(-1.45660718464996e-05f);
    q = q * s + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}

// Rational approximation on [-7.9, 7.9]; beyond it tanh is 1 to within float.
inline vec tanh(vec x) {
    x = smaller(larger(x, splat(-7.90531110763549805f)), splat(7.90531110763549805f));
    const vec s = x * x;
    vec p = splat(-2.76076847742355e-16f);
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    vec q = splat(1.19825839466702e-06f);
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

inline vec gelu(vec x) { return 0.5f * x * (1.0f + erf(x * 0.707106781f)); }

inline vec gelu_tanh(vec x) {
    return 0.5f * x * (1.0f + tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}
