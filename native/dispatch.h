// Which kernels the running CPU can execute.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace crossrank {

std::vector<const Kernels*> available_kernels();  // best first

// By names; "auto" is the best instruction set that has the precision. An instruction set takes
// the precisions it lacks from the next one. Throws std::invalid_argument.
const Kernels& choose_kernels(const std::string& isa, const std::string& precision);

bool has_kernels(const std::string& isa, const std::string& precision);

}  // namespace crossrank
