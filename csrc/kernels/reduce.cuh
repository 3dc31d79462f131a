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

// Sums of kCount values over a warp, kCount a power of two: at each step a lane gives away half of the sums it holds and
// goes on with the other half, so that kCount sums take about kCount shuffles. A lane ends with the sums from
// first_sum<kCount>() on, kCount / 32 of them or one.
template <int kCount, int kHeld = kCount, int kLanes = 16>
__device__ inline void warp_sums(float (&value)[kCount]) {
  if constexpr (kLanes > 0 && kHeld > 1) {
    const bool upper = threadIdx.x & kLanes;
#pragma unroll
    for (int i = 0; i < kHeld / 2; ++i) {
      const float given = upper ? value[i] : value[i + kHeld / 2], kept = upper ? value[i + kHeld / 2] : value[i];
      value[i] = kept + __shfl_xor_sync(kWholeWarp, given, kLanes);
    }
    warp_sums<kCount, kHeld / 2, kLanes / 2>(value);
  } else if constexpr (kLanes > 0) {
    value[0] += __shfl_xor_sync(kWholeWarp, value[0], kLanes);
    warp_sums<kCount, 1, kLanes / 2>(value);
  }
}

template <int kCount>
__device__ inline int first_sum() {
  return static_cast<int>(threadIdx.x % 32) * kCount / 32;
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
