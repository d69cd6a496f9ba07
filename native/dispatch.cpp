#include "dispatch.h"

#include <stdexcept>

#ifdef CROSSRANK_X86
#include <cpuid.h>
#endif
#if defined(CROSSRANK_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace crossrank {
namespace {

#ifdef CROSSRANK_X86

// These also ask whether the operating system saves the wide registers.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_avx2();
}

bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

// Not all compilers know the name of it.
bool has_avx_vnni() {
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}
#endif

#ifdef CROSSRANK_ARM
bool has_dot_products() {
#ifdef __linux__
    constexpr unsigned long dot_products = 1ul << 20;  // HWCAP_ASIMDDP
    return getauxval(AT_HWCAP) & dot_products;
#else
    return true;  // every Mac of this kind
#endif
}
#endif

}  // namespace

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
#ifdef CROSSRANK_X86
    if (has_avx512()) {
        if (amx_usable()) found.insert(found.end(), {&amx_int8, &amx_bf16});
        if (has_avx512_vnni()) found.insert(found.end(), {&avx512_int8});
        found.insert(found.end(), {&avx512_fp32});
    }
    if (has_avx_vnni()) found.insert(found.end(), {&avxvnni_int8});
    if (has_avx2()) found.insert(found.end(), {&avx2_int8, &avx2_fp32});
#endif
#ifdef CROSSRANK_ARM
    if (has_dot_products()) found.insert(found.end(), {&neon_int8});
    found.insert(found.end(), {&neon_fp32});
#endif
    found.insert(found.end(), {&portable_int8, &portable_fp32});
    return found;
}

const Kernels& choose_kernels(const std::string& isa, const std::string& precision) {
    std::string names;
    bool reached = isa == "auto";
    for (const Kernels* kernels : available_kernels()) {
        reached = reached || isa == kernels->isa;
        if (reached && precision == kernels->precision) return *kernels;
        const std::string name = std::string(kernels->isa) + " " + kernels->precision;
        if (names.find(name) == names.npos) names += (names.empty() ? "" : ", ") + name;
    }
    throw std::invalid_argument("isa '" + isa + "' with precision '" + precision +
                                "' is not available: this CPU can run " + names);
}

bool has_kernels(const std::string& isa, const std::string& precision) {
    try {
        return choose_kernels(isa, precision).precision == precision;
    } catch (const std::invalid_argument&) {
        return false;
    }
}

}  // namespace crossrank
