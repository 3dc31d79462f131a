// What risk_score's kernels share: their arguments, how a row's logits are read, and the verdict at its edges.
#pragma once

#include "reduce.cuh"
#include "vector.cuh"

namespace ras {

template <class T>
struct ScoreArguments {
  const T* logits;         // (batch, steps, vocabulary), row_stride and step_stride apart
  const int32_t* length;   // (batch)
  const float* prototype;  // (vocabulary)
  float* similarity;       // (batch)
  float* risk;             // (batch)
  float* scratch;          // of the plan's size
  int64_t row_stride, step_stride, steps, vocabulary, slice;
  float gamma, alpha, s_base;
  bool aligned;  // logits and prototype allow 16-byte accesses
};

// One multiplication and the hardware's power of two: the arguments are at most 0, and the terms that count near it.
__device__ inline float exp_of(float x) {
  constexpr float kLog2E = 1.44269504088896340736f;
  return exp2f(x * kLog2E);
}

// How many steps of row b are real; a length outside is taken as the nearest end.
template <class T>
__device__ inline int real_steps(const ScoreArguments<T>& a, int64_t b) {
  const int length = a.length[b];
  return length < 0 ? 0 : length > a.steps ? static_cast<int>(a.steps) : length;
}

template <int kCount>
__device__ inline void load_floats(float (&to)[kCount], const float* from, int64_t count, bool aligned) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const Vector<float> four = load_vector(from + i, count - i, aligned, 0.0f);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      to[i + k] = four.value[k];
    }
  }
}

// Similarity and risk of row b from mixture . prototype and the two squared norms. Without a real step the similarity
// is 0; one that is no finite number is NaN; both give the risk 1.
template <class T>
__device__ void write_score(const ScoreArguments<T>& a, int64_t b, int real, float dot, float square,
                            float prototype_square) {
  float similarity = dot / (sqrtf(square) * sqrtf(prototype_square));
  similarity = isfinite(similarity) ? fminf(fmaxf(similarity, -1.0f), 1.0f) : NAN;
  const bool judged = real > 0 && !isnan(similarity);
  a.similarity[b] = real > 0 ? similarity : 0.0f;
  a.risk[b] = judged ? 1.0f / (1.0f + expf(-a.alpha * (similarity - a.s_base))) : 1.0f;
}

}  // namespace ras
