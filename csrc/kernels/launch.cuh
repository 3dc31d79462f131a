// The one place a kernel is launched from. Kernels know no torch header, so that they can be compiled and run without
// one; a host that stands in for the GPU defines its own RAS_LAUNCH.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

namespace ras {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments&&... arguments) {
#ifdef RAS_LAUNCH
  RAS_LAUNCH(kernel, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
#else
  // clang-format off
  kernel<<<grid, block, shared_bytes, stream>>>(std::forward<Arguments>(arguments)...);
  // clang-format on
#endif
}

}  // namespace ras
