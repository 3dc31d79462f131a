// From a torch tensor to what a kernel takes: its element type, and the stream of its device.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include "../check.h"

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

inline cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace ras::cuda
