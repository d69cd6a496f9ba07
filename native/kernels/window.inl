// Local attention: what a query does not see.

// Scores of the queries `query`, `query` + 1, ... against the keys from `from` up to `to`: those of
// keys outside the window become the lowest, so that softmax makes nothing of them.
inline void hide_outside(float* scores, size_t stride, int query, int rows, int from, int to, int window) {
    for (int r = 0; r < rows; ++r, ++query, scores += stride) {
        for (int key = from; key < query - window; ++key) scores[key] = -__builtin_inff();
        for (int key = query + window + 1; key < to; ++key) scores[key] = -__builtin_inff();
    }
}
