// Sixteen lanes from and to memory that holds f32, f16 or bf16, at any address. Narrowing rounds to nearest, ties to
// even, and keeps a NaN a NaN; both ways are integer arithmetic, so they neither need nor depend on the machine's own
// conversions or its treatment of subnormal numbers.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "../check.h"
#include "simd.h"

namespace ras::simd {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

namespace convert {

// Sixteen-bit patterns, zero-extended, to f32 and back; T says which type they are.
template <class T, class U32, class F32>
RAS_INLINE F32 widened(U32 h) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return reinterpret_cast<F32>(h << 16);
  } else {
    using I32 = decltype(h < h);
    const U32 sign = (h & 0x8000u) << 16;
    const U32 magnitude = h & 0x7fffu;
    const U32 special = magnitude > 0x7bffu ? (U32{} + (112u << 23)) : U32{};  // inf and NaN keep a full exponent
    const U32 normal = (magnitude << 13) + (112u << 23) + special;
    const F32 subnormal = __builtin_convertvector(reinterpret_cast<I32>(magnitude), F32) * 0x1p-24f;
    return reinterpret_cast<F32>((magnitude < 0x0400u ? reinterpret_cast<U32>(subnormal) : normal) | sign);
  }
}

template <class T, class U32, class F32>
RAS_INLINE U32 narrowed(F32 x) {
  const U32 u = reinterpret_cast<U32>(x);
  const U32 magnitude = u & 0x7fffffffu;
  const U32 sign = (u >> 16) & 0x8000u;
  if constexpr (std::is_same_v<T, BFloat16>) {
    const U32 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return magnitude > 0x7f800000u ? sign | 0x7fc0u : rounded;
  } else {
    const U32 normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
    // 0.5 has the last place 2^-24, the unit of f16's subnormal numbers: the addition rounds to it.
    const U32 subnormal = reinterpret_cast<U32>(reinterpret_cast<F32>(magnitude) + 0.5f) - 0x3f000000u;
    U32 rounded = magnitude < 0x38800000u ? subnormal : normal;
    rounded = magnitude > 0x477fefffu ? U32{} + 0x7c00u : rounded;  // 65520 and above round to inf
    rounded = magnitude > 0x7f800000u ? U32{} + 0x7e00u : rounded;
    return rounded | sign;
  }
}

}  // namespace convert

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
      x.part[i] = convert::widened<T, typename R::U32, typename R::F32>(__builtin_convertvector(h, typename R::U32));
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
      const auto h = __builtin_convertvector(convert::narrowed<T, typename R::U32>(x.part[i]), typename R::U16);
      std::memcpy(to + i * R::kLanes, &h, sizeof(h));
    }
  }
}

// The first `count` < 16 elements, `fill` in the other lanes; nothing past `count` is read.
template <int kBytes, class T>
RAS_INLINE F32x16<kBytes> load_tail(const T* from, int64_t count, T fill) {
  T lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) {
    lanes[i] = i < count ? from[i] : fill;
  }
  return load<kBytes>(lanes);
}

template <int kBytes, class T>
RAS_INLINE void store_tail(const F32x16<kBytes>& x, T* to, int64_t count) {
  T lanes[kLanes];
  store(x, lanes);
  for (int64_t i = 0; i < count; ++i) {
    to[i] = lanes[i];
  }
}

}  // namespace ras::simd
