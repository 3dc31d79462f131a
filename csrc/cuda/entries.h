// The steering arguments of steer_ and the fused norm as a kernel takes them.
#pragma once

#include "../kernels/dose.cuh"
#include "dispatch.h"

namespace ras::cuda {

inline SteerEntries entries_of(const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
                               const Tensor& risk) {
  ReadRows states = read_rows(prototypes, 1);
  states.aligned = states.aligned && prototypes.stride(0) * element_bytes(prototypes) % 16 == 0;
  return {rows.const_data_ptr<int32_t>(),
          slot.const_data_ptr<int32_t>(),
          step.const_data_ptr<int32_t>(),
          risk.const_data_ptr<float>(),
          states,
          prototypes.stride(0),
          rows.size(0),
          prototypes.size(0),
          prototypes.size(1)};
}

}  // namespace ras::cuda
