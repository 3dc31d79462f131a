// The one place a kernel is launched from.
#pragma once

#include <cstdlib>
#include <utility>

#include "device.cuh"
#include "plan.h"

namespace ras {

// Where in the stream a launch stands: behind whatever came before, or behind an earlier launch of the same operator.
// The latter may start before the earlier one ends if RAS_EXT_PDL=1 (programmatic dependent launch, compute capability
// 9.0 on); its kernel must then call wait_for_previous_kernel before it reads anything the earlier one writes, and
// before it writes anything the earlier one reads.
enum class Behind { kStream, kOwnKernel };

inline bool dependent_launches() {
  static const bool wanted = [] {
    const char* value = std::getenv("RAS_EXT_PDL");
    return value && value[0] == '1';
  }();
  return wanted;
}

// Errors are left for cudaGetLastError.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Launch& shape, Behind behind, cudaStream_t stream,
            Arguments&&... arguments) {
#ifdef RAS_EMULATOR
  emulated::run(kernel, shape, std::forward<Arguments>(arguments)...);
#else
  constexpr int64_t kWithoutAsking = 48 * 1024;
  if (shape.shared_bytes > kWithoutAsking) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
  }
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y),
                        static_cast<unsigned>(shape.grid_z));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = behind == Behind::kOwnKernel && dependent_launches() ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...);
#endif
}

}  // namespace ras
