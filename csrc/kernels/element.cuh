// Rows whose element type is known only when a kernel runs, eight elements at a time as f32. The type is the same for
// a whole launch, so the branch costs next to nothing beside the memory, and one kernel serves every mixture of types.
#pragma once

#include "vector.cuh"

namespace ras {

enum class Element : int { kFloat, kHalf, kBFloat16 };

constexpr int kEight = 8;

inline int64_t element_bytes(Element type) {
  return type == Element::kFloat ? 4 : 2;
}

// A row, or many of them `stride` elements apart.
template <class Void>
struct Rows {
  Void* data;
  int64_t stride;
  Element type;
  bool aligned;  // every row allows 16-byte accesses
};
using ReadRows = Rows<const void>;
using WrittenRows = Rows<void>;

template <class Void>
Rows<Void> rows_of(Void* data, int64_t stride, Element type) {
  return {data, stride, type, aligned_16(data) && stride * element_bytes(type) % 16 == 0};
}

template <class T>
__device__ inline void load_typed(float (&to)[kEight], const T* from, int64_t count, bool aligned) {
#pragma unroll
  for (int i = 0; i < kEight; i += kPerVector<T>) {
    const Vector<T> loaded = load_vector(from + i, count - i, aligned, 0.0f);
#pragma unroll
    for (int k = 0; k < kPerVector<T>; ++k) {
      to[i + k] = to_float(loaded.value[k]);
    }
  }
}

// Elements [offset, offset + 8) as f32, of which `count` exist; the rest are 0.
__device__ inline void load_eight(float (&to)[kEight], const void* data, Element type, int64_t offset, int64_t count,
                                  bool aligned) {
  if (type == Element::kFloat) {
    load_typed(to, static_cast<const float*>(data) + offset, count, aligned);
  } else if (type == Element::kHalf) {
    load_typed(to, static_cast<const __half*>(data) + offset, count, aligned);
  } else {
    load_typed(to, static_cast<const __nv_bfloat16*>(data) + offset, count, aligned);
  }
}

// Stores eight values rounded to the type, and leaves in `values` what was stored.
template <class T>
__device__ inline void store_typed(T* to, float (&values)[kEight], int64_t count, bool aligned) {
#pragma unroll
  for (int i = 0; i < kEight; i += kPerVector<T>) {
    Vector<T> rounded;
#pragma unroll
    for (int k = 0; k < kPerVector<T>; ++k) {
      rounded.value[k] = from_float<T>(values[i + k]);
      values[i + k] = to_float(rounded.value[k]);
    }
    store_vector(to + i, rounded, count - i, aligned);
  }
}

__device__ inline void store_eight(void* data, Element type, int64_t offset, float (&values)[kEight], int64_t count,
                                   bool aligned) {
  if (type == Element::kFloat) {
    store_typed(static_cast<float*>(data) + offset, values, count, aligned);
  } else if (type == Element::kHalf) {
    store_typed(static_cast<__half*>(data) + offset, values, count, aligned);
  } else {
    store_typed(static_cast<__nv_bfloat16*>(data) + offset, values, count, aligned);
  }
}

// What a value is after being stored in the type and read back.
__device__ inline float rounded_to(Element type, float value) {
  return type == Element::kFloat  ? value
         : type == Element::kHalf ? to_float(from_float<__half>(value))
                                  : to_float(from_float<__nv_bfloat16>(value));
}

}  // namespace ras
