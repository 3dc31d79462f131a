// Sixteen bytes at a time: the widest access a thread has. Rows whose addresses do not allow it, and a row's tail, are
// read and written element by element.
#pragma once

#include "convert.cuh"

namespace ras {

template <class T>
constexpr int kPerVector = 16 / static_cast<int>(sizeof(T));

template <class T>
struct alignas(16) Vector {
  T value[kPerVector<T>];
};

inline bool aligned_16(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0;
}

// Whether rows that start `stride` elements apart all allow 16-byte accesses.
template <class T>
bool aligned_rows(const T* data, int64_t stride) {
  return aligned_16(data) && stride % kPerVector<T> == 0;
}

// The first `count` elements behind `from`, the rest `fill`.
template <class T>
__device__ inline Vector<T> load_vector(const T* from, int64_t count, bool aligned, float fill) {
  Vector<T> loaded;
  if (aligned && count >= kPerVector<T>) {
    loaded = *reinterpret_cast<const Vector<T>*>(from);
    return loaded;
  }
#pragma unroll
  for (int i = 0; i < kPerVector<T>; ++i) {
    loaded.value[i] = i < count ? from[i] : from_float<T>(fill);
  }
  return loaded;
}

template <class T>
__device__ inline void store_vector(T* to, const Vector<T>& values, int64_t count, bool aligned) {
  if (aligned && count >= kPerVector<T>) {
    *reinterpret_cast<Vector<T>*>(to) = values;
    return;
  }
#pragma unroll
  for (int i = 0; i < kPerVector<T>; ++i) {
    if (i < count) {
      to[i] = values.value[i];
    }
  }
}

}  // namespace ras
