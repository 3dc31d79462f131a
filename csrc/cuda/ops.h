// The CUDA implementations, as they are registered.
#pragma once

#include <string>

#include "../check.h"

namespace ras::cuda {

void steer_(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
            const Tensor& risk);

// Compute capabilities with machine code in this library: "8.0 8.6 9.0".
std::string cuda_archs();

}  // namespace ras::cuda
