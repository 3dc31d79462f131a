// From a torch tensor to what a kernel takes: its element type and size, and the stream of its device.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include "../check.h"
#include "../kernels/plan.h"

namespace ras::cuda {

template <class T>
struct Type {
  using type = T;
};

// Calls f with Type<float>, Type<__half> or Type<__nv_bfloat16>; the contract has refused every other type.
template <class F>
void with_type(ScalarType type, F&& f) {
  if (type == ScalarType::Float) {
    f(Type<float>{});
  } else if (type == ScalarType::Half) {
    f(Type<__half>{});
  } else {
    f(Type<__nv_bfloat16>{});
  }
}

inline int64_t element_bytes(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float ? 4 : 2;
}

// A grid has at most 2^31 - 1 blocks along x and 65535 along y and z.
inline void check_grid(const Plan& plan, const char* what, int64_t got) {
  for (const Launch& launch : plan.launches) {
    RAS_CHECK(launch.grid_x <= INT32_MAX && launch.grid_y <= 65535 && launch.grid_z <= 65535, what,
              " for a GPU's largest grid, got ", got);
  }
}

inline cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace ras::cuda
