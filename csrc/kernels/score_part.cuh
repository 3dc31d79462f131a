// What risk_score keeps of some columns of the vocabulary, and how two such parts become one: every sum is rescaled to
// the larger maximum, then they add. Any way of cutting the vocabulary gives the whole.
#pragma once

#include "risk_score_plan.h"
#include "score_result.cuh"

namespace ras {

// One part's state; in memory the maxima followed by the sums.
template <int kSteps>
struct ScorePart {
  static constexpr int kDot = kSteps, kProduct = 2 * kSteps, kSquare = kProduct + kSteps * (kSteps + 1) / 2;
  static constexpr int kSums = kSquare + 1, kFloats = kSteps + kSums;
  static_assert(kFloats == score_part_floats(kSteps));

  float max[kSteps];
  float sum[kSums];  // Z, D, G (n >= k, row by row), P

  __device__ void clear() {
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      max[n] = -INFINITY;
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sum[i] = 0;
    }
  }

  // Moves every sum to the maxima `to`, none of which is smaller than its own.
  __device__ void rescale(const float (&to)[kSteps]) {
    float factor[kSteps];
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      // Without a finite logit so far there is nothing to move, and -inf - -inf would be NaN.
      factor[n] = to[n] > max[n] ? exp_of(max[n] - to[n]) : 1.0f;
      max[n] = to[n];
      sum[n] *= factor[n];
      sum[kDot + n] *= factor[n];
    }
    int i = kProduct;
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
#pragma unroll
      for (int k = 0; k <= n; ++k, ++i) {
        sum[i] *= factor[n] * factor[k];
      }
    }
  }

  // One column: e[n] = exp(z_n - m_n).
  __device__ void add(const float (&e)[kSteps], float p) {
    int i = kProduct;
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      sum[n] += e[n];
      sum[kDot + n] = fmaf(e[n], p, sum[kDot + n]);
#pragma unroll
      for (int k = 0; k <= n; ++k, ++i) {
        sum[i] = fmaf(e[n], e[k], sum[i]);
      }
    }
    sum[kSquare] = fmaf(p, p, sum[kSquare]);
  }

  // The parts of a warp's threads as one; every thread has it.
  __device__ void merge_warp() {
    float whole[kSteps];
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      whole[n] = warp_max(max[n]);
    }
    rescale(whole);
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sum[i] = warp_sum(sum[i]);
    }
  }

  __device__ void store(float* to) const {
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      to[n] = max[n];
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      to[kSteps + i] = sum[i];
    }
  }

  __device__ void load(const float* from) {
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      max[n] = from[n];
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sum[i] = from[kSteps + i];
    }
  }

  // Takes in another part, kept in memory.
  __device__ void merge(const float* from) {
    ScorePart other;
    other.load(from);
    float whole[kSteps];
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      whole[n] = fmaxf(max[n], other.max[n]);
    }
    rescale(whole);
    other.rescale(whole);
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sum[i] += other.sum[i];
    }
  }
};

}  // namespace ras
