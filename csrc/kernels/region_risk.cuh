// region_risk on a GPU: c_j = sigmoid(slope (cos(h_j - center, direction) - bias)) for every visual token, pooled per
// image region with the attention a_j as weight: mass = sum a_j, risk = sum a_j c_j / mass; pooled is the same over all
// regions. A token belongs to one warp and a region to one warp, which go through their parts in a fixed order.
#pragma once

#include "element.cuh"
#include "launch.cuh"
#include "reduce.cuh"
#include "region_risk_plan.h"

namespace ras {

struct RegionArguments {
  const float* attention;  // (batch, tokens), attention_stride apart
  ReadRows hidden;         // (batch, tokens, width), tokens `stride` apart and rows of the batch batch_stride
  const float* direction;  // (width)
  const float* center;     // (width) or null
  const int32_t* region;   // (batch, tokens), region_stride apart
  float* mass;             // (batch, n_regions)
  float* risk;             // (batch, n_regions)
  float* pooled;           // (batch)
  float* token;            // (batch, tokens): scratch
  int64_t batch, tokens, width, n_regions, attention_stride, region_stride, batch_stride;
  float slope, bias;
  bool aligned;  // direction and center allow 16-byte accesses
};

// Risk of a token from its sums. One without a direction (h = center, or a zero direction) has cosine 0; one whose
// cosine is no finite number has risk 1.
__device__ inline float risk_of_token(const RegionArguments& a, float dot, float square, float direction_square) {
  const float norm = sqrtf(square), direction_norm = sqrtf(direction_square);
  if (!isfinite(dot) || !isfinite(norm) || !isfinite(direction_norm)) {
    return 1.0f;
  }
  const bool aimless = norm == 0 || direction_norm == 0;
  const float cosine = aimless ? 0.0f : fminf(fmaxf(dot / (norm * direction_norm), -1.0f), 1.0f);
  return 1.0f / (1.0f + expf(-a.slope * (cosine - a.bias)));
}

// Grid: batch * tokens / warps of a block. Tokens left out are not read.
static __global__ void __launch_bounds__(kTokenThreads) token_risk_kernel(RegionArguments a) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * (kTokenThreads / 32) + threadIdx.x / 32;
  if (token >= a.batch * a.tokens) {
    return;
  }
  const int64_t b = token / a.tokens, j = token % a.tokens;
  const int region = a.region[b * a.region_stride + j];
  if (region < 0 || region >= a.n_regions) {
    return;
  }
  const int64_t row = b * a.batch_stride + j * a.hidden.stride;
  float dot = 0, square = 0, direction_square = 0;
  for (int64_t column = threadIdx.x % 32 * kEight; column < a.width; column += 32 * kEight) {
    const int64_t count = a.width - column;
    float h[kEight], direction[kEight], center[kEight] = {};
    load_eight(h, a.hidden.data, a.hidden.type, row + column, count, a.hidden.aligned);
    load_typed(direction, a.direction + column, count, a.aligned);
    if (a.center) {
      load_typed(center, a.center + column, count, a.aligned);
    }
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float value = h[i] - center[i];
      dot = fmaf(value, direction[i], dot);
      square = fmaf(value, value, square);
      direction_square = fmaf(direction[i], direction[i], direction_square);
    }
  }
  dot = warp_sum(dot);
  square = warp_sum(square);
  direction_square = warp_sum(direction_square);
  if (threadIdx.x % 32 == 0) {
    a.token[token] = risk_of_token(a, dot, square, direction_square);
  }
}

// Weighted mean; without weight there is no evidence (0), and a broken weight counts as risk.
__device__ inline float pooled_risk(float weighted, float mass) {
  if (mass == 0.0f && weighted == 0.0f) {
    return 0.0f;
  }
  const float risk = weighted / mass;
  return isfinite(risk) ? risk : 1.0f;
}

// Grid: batch. Each warp takes every eighth region.
static __global__ void __launch_bounds__(kPoolThreads) pool_regions_kernel(RegionArguments a) {
  constexpr int kWarps = kPoolThreads / 32;
  wait_for_previous_kernel();
  auto* all_mass = reinterpret_cast<float*>(shared_memory());
  float* all_weighted = all_mass + kWarps;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t b = blockIdx.x;
  float warp_mass = 0, warp_weighted = 0;
  for (int64_t r = warp; r < a.n_regions; r += kWarps) {
    float mass = 0, weighted = 0;
    for (int64_t j = lane; j < a.tokens; j += 32) {
      if (a.region[b * a.region_stride + j] == r) {
        const float attention = a.attention[b * a.attention_stride + j];
        mass += attention;
        weighted = fmaf(attention, a.token[b * a.tokens + j], weighted);
      }
    }
    mass = warp_sum(mass);
    weighted = warp_sum(weighted);
    warp_mass += mass;
    warp_weighted += weighted;
    if (lane == 0) {
      a.mass[b * a.n_regions + r] = mass;
      a.risk[b * a.n_regions + r] = pooled_risk(weighted, mass);
    }
  }
  if (lane == 0) {
    all_mass[warp] = warp_mass;
    all_weighted[warp] = warp_weighted;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    float mass = 0, weighted = 0;
    for (int i = 0; i < kWarps; ++i) {
      mass += all_mass[i];
      weighted += all_weighted[i];
    }
    a.pooled[b] = pooled_risk(weighted, mass);
  }
}

inline void enqueue_region_risk(const Plan& plan, const RegionArguments& a, cudaStream_t stream) {
  if (a.tokens > 0) {
    launch(token_risk_kernel, plan.launches[0], Behind::kStream, stream, a);
  }
  launch(pool_regions_kernel, plan.launches[1], Behind::kOwnKernel, stream, a);
}

}  // namespace ras
