// From named tensors to Weights.
#pragma once

#include "model.h"

namespace crossrank {

// Throws std::invalid_argument for a tensor that is missing, unknown or of the wrong shape.
// The layers are packed for the kernels `body`, what stands around them for `exact`. Where `memory`
// is mapped, it holds all that, and the tensors are not looked at; it throws std::runtime_error if
// it does not fit the configuration.
Weights load_weights(const Config& config, const TensorMap& tensors, const Kernels& body,
                     const Kernels& exact, Archive memory);

}  // namespace crossrank
