// From named tensors to Weights.
#pragma once

#include "model.h"

namespace crossrank {

// Throws std::invalid_argument for a tensor that is missing, unknown or of the wrong shape.
Weights load_weights(const Config& config, const TensorMap& tensors, const Kernels& kernels);

}  // namespace crossrank
