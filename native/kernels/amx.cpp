// Compiled with -mavx512* -mamx-*. Matrix products in tiles, bf16 or int8; everything between them
// in AVX-512. Activations are bf16 and the residual stream is fp32 in both precisions.
//
// A row's result never depends on the other rows or on its place among them: a tile computes its
// rows apart from each other, and every loop runs whole vectors over padded memory.
#include <immintrin.h>

#include "kernels.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define LANES 16

namespace crossrank {
namespace {

#include "vectors.inl"

struct Value {  // bfloat16
    uint16_t bits;
};

constexpr int tile_rows = 32;  // two tiles
constexpr int panel = 2 * lanes;
constexpr size_t tile_bytes = 1024;  // 16 rows of 64 bytes

inline __m512 half_of(vec v) { return (__m512)v; }

// Rounds to nearest even, as the hardware does it.
inline void store(Value* p, vec v) {
    const __m256bh rounded = _mm512_cvtneps_pbh(half_of(v));
    __builtin_memcpy(p, &rounded, sizeof rounded);
}

inline void store(Value* p, vec v, vec w) {
    const __m512bh rounded = _mm512_cvtne2ps_pbh(half_of(w), half_of(v));
    __builtin_memcpy(p, &rounded, sizeof rounded);
}

inline vec load(const Value* p) {
    __m256i bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
}

#include "convert.inl"
#include "norm.inl"
#include "window.inl"
#include "mix.inl"
#include "amx_attention.inl"
#include "amx_dense.inl"

inline vec value_gelu(vec x) { return gelu_short(x); }

#include "values.inl"

struct alignas(64) TileConfig {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileConfig eight_tiles;  // in memory: the instruction's inline assembly names 8 bytes of it

void enter() { _tile_loadconfig(&eight_tiles); }

void leave() { _tile_release(); }

}  // namespace

extern const Kernels amx_bf16 = {
    "amx",       "bf16",    sizeof(Value),
    tile_rows,   block_bytes<Bf16>, pack<Bf16>,
    add_row,     to_values, enter,
    leave,       dense_scratch<Bf16>, dense<Bf16>,
    dense_add<Bf16>, attention_scratch, attention,
    layer_norm,  rotate,    gate};

extern const Kernels amx_int8 = {
    "amx",       "int8",    sizeof(Value),
    tile_rows,   block_bytes<Int8>, pack<Int8>,
    add_row,     to_values, enter,
    leave,       dense_scratch<Int8>, dense<Int8>,
    dense_add<Int8>, attention_scratch, attention,
    layer_norm,  rotate,    gate};

bool amx_usable() {
#if defined(__linux__) && defined(__x86_64__)
    unsigned a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    constexpr unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tiles, int8
    unsigned a1 = 7, b1, c1 = 1, d1;
    __asm__("cpuid" : "+a"(a1), "=b"(b1), "+c"(c1), "=d"(d1));
    constexpr unsigned converts = 1u << 5;  // AVX512_BF16
    constexpr long ask_for_state = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, asm/prctl.h
    return (d & wanted) == wanted && (a1 & converts) &&
           syscall(SYS_arch_prctl, ask_for_state, tile_data) == 0;
#else
    return false;
#endif
}

}  // namespace crossrank
