// Sixteen lanes from and to memory that holds f32, f16 or bf16, at any address.
#pragma once

#include "simd_convert.h"

namespace ras::simd {

template <int kBytes, class T>
RAS_INLINE F32x16<kBytes> load(const T* from) {
  using R = Register<kBytes>;
  F32x16<kBytes> x;
#pragma GCC unroll 4
  for (int i = 0; i < F32x16<kBytes>::kParts; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(&x.part[i], from + i * R::kLanes, kBytes);
    } else {
      typename R::U16 h;
      std::memcpy(&h, from + i * R::kLanes, sizeof(h));
      x.part[i] = widened<kBytes, T>(h);
    }
  }
  return x;
}

template <int kBytes, class T>
RAS_INLINE void store(const F32x16<kBytes>& x, T* to) {
  using R = Register<kBytes>;
#pragma GCC unroll 4
  for (int i = 0; i < F32x16<kBytes>::kParts; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(to + i * R::kLanes, &x.part[i], kBytes);
    } else {
      const typename R::U16 h = narrowed<kBytes, T>(x.part[i]);
      std::memcpy(to + i * R::kLanes, &h, sizeof(h));
    }
  }
}

// The first `count` < 16 elements, `fill` in the other lanes; nothing past `count` is read.
template <int kBytes, class T>
RAS_INLINE F32x16<kBytes> load_tail(const T* from, int64_t count, T fill) {
  T lanes[kLanes];
  for (T& lane : lanes) {
    lane = fill;
  }
  std::memcpy(lanes, from, count * sizeof(T));
  return load<kBytes>(lanes);
}

template <int kBytes, class T>
RAS_INLINE void store_tail(const F32x16<kBytes>& x, T* to, int64_t count) {
  T lanes[kLanes];
  store(x, lanes);
  std::memcpy(to, lanes, count * sizeof(T));
}

}  // namespace ras::simd
