// risk_score on a GPU: r = sigmoid(alpha (cos(sum_n gamma^n softmax(z_n), p) - s_base)), in one read of the logits.
//
// A block takes a slice of the vocabulary. Of its columns c it keeps, for steps n and k, the maximum m_n and the sums
//   Z_n = sum_c e_nc,  D_n = sum_c e_nc p_c,  G_nk = sum_c e_nc e_kc,  P = sum_c p_c^2   with e_nc = exp(z_nc - m_n);
// parts merge after rescaling to a common maximum. A second kernel merges the slices in their order: with
// a_n = gamma^n / Z_n the cosine is sum_n a_n D_n / sqrt(sum_nk a_n a_k G_nk P). Nothing of the vocabulary's size is
// written. Steps behind a row's length are not read.
#pragma once

#include "launch.cuh"
#include "risk_score_many.cuh"
#include "score_part.cuh"

namespace ras {

// One vector of columns of all real steps into `part`.
template <int kSteps, class T>
__device__ void add_columns(ScorePart<kSteps>& part, const ScoreArguments<T>& a, const T* row, int64_t column,
                            int real) {
  constexpr int kColumns = kPerVector<T>;
  const int64_t count = a.vocabulary - column;
  Vector<T> z[kSteps];
  float top[kSteps];
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    top[n] = part.max[n];
    if (n < real) {
      z[n] = load_vector(row + n * a.step_stride + column, count, a.aligned, -INFINITY);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        top[n] = fmaxf(top[n], to_float(z[n].value[i]));
      }
    }
  }
  bool raised = false;
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    raised |= top[n] > part.max[n];
  }
  if (raised) {
    part.rescale(top);
  }
  float p[kColumns];
  load_floats<kColumns>(p, a.prototype + column, count, a.aligned);
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    float e[kSteps];
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      // While a step has shown nothing but -inf its maximum cannot be taken off; a NaN goes through either way.
      const float shift = part.max[n] == -INFINITY ? 0.0f : part.max[n];
      e[n] = n < real ? exp_of(to_float(z[n].value[i]) - shift) : 0.0f;
    }
    part.add(e, p[i]);
  }
}

// Grid: slices x batch. Writes one part.
template <int kSteps, class T>
__global__ void __launch_bounds__(kScoreThreads) score_slices_kernel(ScoreArguments<T> a) {
  constexpr int kFloats = ScorePart<kSteps>::kFloats;
  const int64_t slice = blockIdx.x, b = blockIdx.y;
  const int real = real_steps(a, b);
  const T* row = a.logits + b * a.row_stride;
  const int64_t first = slice * a.slice;
  const int64_t past = first + a.slice < a.vocabulary ? first + a.slice : a.vocabulary;

  ScorePart<kSteps> part;
  part.clear();
  for (int64_t column = first + threadIdx.x * kPerVector<T>; column < past; column += kScoreThreads * kPerVector<T>) {
    add_columns(part, a, row, column, real);
  }
  part.merge_warp();

  auto* parts = reinterpret_cast<float*>(shared_memory());
  const int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 == 0) {
    part.store(parts + warp * kFloats);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int other = 1; other < kScoreThreads / 32; ++other) {
      part.merge(parts + other * kFloats);
    }
    part.store(a.scratch + (b * gridDim.x + slice) * kFloats);
  }
}

// Grid: batch. A warp merges the slices of its row and judges it.
template <int kSteps, class T>
__global__ void __launch_bounds__(kScoreMergeThreads) score_merge_kernel(ScoreArguments<T> a, int64_t slices) {
  constexpr int kFloats = ScorePart<kSteps>::kFloats;
  wait_for_previous_kernel();
  const int64_t b = blockIdx.x;
  ScorePart<kSteps> part;
  part.clear();
  for (int64_t slice = threadIdx.x; slice < slices; slice += kScoreMergeThreads) {
    part.merge(a.scratch + (b * slices + slice) * kFloats);
  }
  part.merge_warp();
  if (threadIdx.x != 0) {
    return;
  }
  const int real = real_steps(a, b);
  float dot = 0, square = 0, weight[kSteps];
  float decay = 1;
  int i = part.kProduct;
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    weight[n] = n < real ? decay / part.sum[n] : 0.0f;
    decay *= a.gamma;
    dot += n < real ? weight[n] * part.sum[part.kDot + n] : 0.0f;
#pragma unroll
    for (int k = 0; k <= n; ++k, ++i) {
      square += n < real ? (k < n ? 2.0f : 1.0f) * weight[n] * weight[k] * part.sum[i] : 0.0f;
    }
  }
  write_score(a, b, real, dot, square, part.sum[part.kSquare]);
}

template <int kSteps, class T>
void enqueue_few_steps(const Plan& plan, const ScoreArguments<T>& a, cudaStream_t stream) {
  launch(score_slices_kernel<kSteps, T>, plan.launches[0], Behind::kStream, stream, a);
  launch(score_merge_kernel<kSteps, T>, plan.launches[1], Behind::kOwnKernel, stream, a, plan.launches[0].grid_x);
}

template <class T>
void enqueue_risk_score(const Plan& plan, const ScoreArguments<T>& a, cudaStream_t stream) {
  if (a.steps > kScoreFewSteps) {
    return enqueue_many_steps(plan, a, stream);
  }
  switch (score_step_slots(a.steps)) {
    case 1:
      return enqueue_few_steps<1>(plan, a, stream);
    case 3:
      return enqueue_few_steps<3>(plan, a, stream);
    case 5:
      return enqueue_few_steps<5>(plan, a, stream);
    default:
      return enqueue_few_steps<8>(plan, a, stream);
  }
}

}  // namespace ras
