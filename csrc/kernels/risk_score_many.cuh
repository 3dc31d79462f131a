// risk_score for more steps than a thread can hold products of: the logits are read twice, first for every step's
// maximum and sum, then for the mixture's dot product and norm.
#pragma once

#include "launch.cuh"
#include "risk_score_plan.h"
#include "score_result.cuh"

namespace ras {

// Where the first kernel leaves the maximum and sum of a slice of one step.
template <class T>
__device__ float* softmax_part(const ScoreArguments<T>& a, int64_t b, int64_t step, int64_t slices, int64_t slice) {
  return a.scratch + 2 * ((b * a.steps + step) * slices + slice);
}

// Where the second leaves a slice's dot and two squares, behind all of the above.
template <class T>
__device__ float* mixture_part(const ScoreArguments<T>& a, int64_t batch, int64_t b, int64_t slices, int64_t slice) {
  return a.scratch + 2 * batch * a.steps * slices + 3 * (b * slices + slice);
}

// Grid: slices x steps x batch.
template <class T>
__global__ void __launch_bounds__(kScoreThreads) score_softmax_kernel(ScoreArguments<T> a) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const int64_t slice = blockIdx.x, step = blockIdx.y, b = blockIdx.z;
  if (step >= real_steps(a, b)) {
    return;
  }
  const T* row = a.logits + b * a.row_stride + step * a.step_stride;
  const int64_t first = slice * a.slice;
  const int64_t past = first + a.slice < a.vocabulary ? first + a.slice : a.vocabulary;
  float max = -INFINITY, sum = 0;
  for (int64_t column = first + threadIdx.x * kPerVector<T>; column < past; column += kScoreThreads * kPerVector<T>) {
    const Vector<T> z = load_vector(row + column, past - column, a.aligned, -INFINITY);
    float top = max;
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i) {
      top = fmaxf(top, to_float(z.value[i]));
    }
    sum *= top > max ? exp_of(max - top) : 1.0f;
    max = top;
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i) {
      sum += exp_of(to_float(z.value[i]) - (max == -INFINITY ? 0.0f : max));
    }
  }
  const float whole = block_max(max, scratch);
  __syncthreads();
  sum = block_sum(whole > max ? sum * exp_of(max - whole) : sum, scratch);
  if (threadIdx.x == 0) {
    float* part = softmax_part(a, b, step, gridDim.x, slice);
    part[0] = whole;
    part[1] = sum;
  }
}

// Grid: slices x batch. Every block merges the steps' maxima and sums for itself: they are few.
template <class T>
__global__ void __launch_bounds__(kScoreThreads) score_mixture_kernel(ScoreArguments<T> a) {
  wait_for_previous_kernel();
  auto* max = reinterpret_cast<float*>(shared_memory());
  float* weight = max + a.steps;
  float* scratch = weight + a.steps;
  const int warps = kScoreThreads / 32;
  const int64_t slice = blockIdx.x, slices = gridDim.x, b = blockIdx.y;
  const int real = real_steps(a, b);
  for (int n = threadIdx.x; n < real; n += kScoreThreads) {
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < slices; ++i) {
      top = fmaxf(top, softmax_part(a, b, n, slices, i)[0]);
    }
    for (int64_t i = 0; i < slices; ++i) {
      const float* part = softmax_part(a, b, n, slices, i);
      sum += part[0] < top ? part[1] * exp_of(part[0] - top) : part[1];
    }
    max[n] = top;
    weight[n] = powf(a.gamma, static_cast<float>(n)) / sum;
  }
  __syncthreads();

  const T* row = a.logits + b * a.row_stride;
  const int64_t first = slice * a.slice;
  const int64_t past = first + a.slice < a.vocabulary ? first + a.slice : a.vocabulary;
  float dot = 0, square = 0, prototype_square = 0;
  for (int64_t column = first + threadIdx.x * kPerVector<T>; column < past; column += kScoreThreads * kPerVector<T>) {
    float mixture[kPerVector<T>] = {}, p[kPerVector<T>];
    for (int n = 0; n < real; ++n) {
      const Vector<T> z = load_vector(row + n * a.step_stride + column, past - column, a.aligned, -INFINITY);
#pragma unroll
      for (int i = 0; i < kPerVector<T>; ++i) {
        mixture[i] = fmaf(weight[n], exp_of(to_float(z.value[i]) - max[n]), mixture[i]);
      }
    }
    load_floats(p, a.prototype + column, past - column, a.aligned);
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i) {
      dot = fmaf(mixture[i], p[i], dot);
      square = fmaf(mixture[i], mixture[i], square);
      prototype_square = fmaf(p[i], p[i], prototype_square);
    }
  }
  dot = block_sum(dot, scratch);
  square = block_sum(square, scratch + warps);
  prototype_square = block_sum(prototype_square, scratch + 2 * warps);
  if (threadIdx.x == 0) {
    float* part = mixture_part(a, gridDim.y, b, slices, slice);
    part[0] = dot;
    part[1] = square;
    part[2] = prototype_square;
  }
}

// Grid: batch.
template <class T>
__global__ void __launch_bounds__(kScoreMergeThreads) score_mixture_merge_kernel(ScoreArguments<T> a, int64_t slices) {
  wait_for_previous_kernel();
  const int64_t b = blockIdx.x;
  float sum[3] = {};
  for (int64_t slice = threadIdx.x; slice < slices; slice += kScoreMergeThreads) {
    const float* part = mixture_part(a, gridDim.x, b, slices, slice);
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      sum[i] += part[i];
    }
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    sum[i] = warp_sum(sum[i]);
  }
  if (threadIdx.x == 0) {
    write_score(a, b, real_steps(a, b), sum[0], sum[1], sum[2]);
  }
}

template <class T>
void enqueue_many_steps(const Plan& plan, const ScoreArguments<T>& a, cudaStream_t stream) {
  launch(score_softmax_kernel<T>, plan.launches[0], Behind::kStream, stream, a);
  launch(score_mixture_kernel<T>, plan.launches[1], Behind::kOwnKernel, stream, a);
  launch(score_mixture_merge_kernel<T>, plan.launches[2], Behind::kOwnKernel, stream, a, plan.launches[0].grid_x);
}

}  // namespace ras
