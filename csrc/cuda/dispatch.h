// From a torch tensor to what a kernel takes: its element type and size, and the stream of its device.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>

#include "../check.h"
#include "../kernels/element.cuh"
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

inline Element element(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float  ? Element::kFloat
         : t.scalar_type() == ScalarType::Half ? Element::kHalf
                                               : Element::kBFloat16;
}

inline int64_t element_bytes(const Tensor& t) {
  return element_bytes(element(t));
}

// The rows of a tensor, `dim` being the one that steps from row to row.
inline ReadRows read_rows(const Tensor& t, int64_t dim) {
  return rows_of(t.const_data_ptr(), t.stride(dim), element(t));
}
inline WrittenRows written_rows(const Tensor& t, int64_t dim) {
  return rows_of(t.mutable_data_ptr(), t.stride(dim), element(t));
}

// Memory for what one launch of a plan hands to the next, from torch's own allocator: it stays valid in stream order
// and under graph capture.
inline Tensor scratch(const Plan& plan, const Tensor& like) {
  return torch::stable::new_empty(like, {plan.scratch_bytes / 4}, ScalarType::Float);
}

// A grid has at most 2^31 - 1 blocks along x and 65535 along y and z, and a block 99 KB of shared memory on every GPU.
inline void check_grid(const Plan& plan, const char* what, int64_t got) {
  for (const Launch& launch : plan.launches) {
    RAS_CHECK(launch.grid_x <= INT32_MAX && launch.grid_y <= 65535 && launch.grid_z <= 65535 &&
                  launch.shared_bytes <= 99 * 1024,
              what, " for a GPU's largest grid and block, got ", got);
  }
}

inline cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace ras::cuda
