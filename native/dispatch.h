// Which kernels the running CPU can execute.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace crossrank {

std::vector<const Kernels*> available_kernels();  // best first

// By name, or the best for "auto". Throws std::invalid_argument.
const Kernels& choose_kernels(const std::string& isa);

}  // namespace crossrank
