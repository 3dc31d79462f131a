// Sums and maxima over a warp and a block, always in the same order.
#pragma once

#include "device.cuh"

namespace ras {

constexpr unsigned kWholeWarp = 0xffffffffu;

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kWholeWarp, value, lanes);
  }
  return value;
}

// The largest of a warp's values; a NaN is passed over.
__device__ inline float warp_max(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kWholeWarp, value, lanes));
  }
  return value;
}

__device__ inline int warp_max(int value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const int other = __shfl_xor_sync(kWholeWarp, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

// The largest over the block, for every thread. `scratch`: as for block_sum.
__device__ inline float block_max(float value, float* scratch) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) {
    scratch[warp] = value;
  }
  __syncthreads();
  float max = scratch[0];
  for (int i = 1; i < warps; ++i) {
    max = fmaxf(max, scratch[i]);
  }
  return max;
}

// The sum over the block, for every thread. `scratch`: one float a warp, free again after the next __syncthreads.
__device__ inline float block_sum(float value, float* scratch) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) {
    scratch[warp] = value;
  }
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < warps; ++i) {
    sum += scratch[i];
  }
  return sum;
}

}  // namespace ras
