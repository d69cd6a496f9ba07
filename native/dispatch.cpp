#include "dispatch.h"

#include <stdexcept>

namespace crossrank {

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
#ifdef CROSSRANK_X86
    // These also ask whether the operating system saves the wide registers.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma"))
        found.push_back(&avx512_kernels);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found.push_back(&avx2_kernels);
#endif
    found.push_back(&portable_kernels);
    return found;
}

const Kernels& choose_kernels(const std::string& isa) {
    std::string names;
    for (const Kernels* kernels : available_kernels()) {
        if (isa == "auto" || isa == kernels->name) return *kernels;
        names += (names.empty() ? "" : ", ") + std::string(kernels->name);
    }
    throw std::invalid_argument("isa '" + isa + "' is not available: this CPU can run " + names);
}

}  // namespace crossrank
