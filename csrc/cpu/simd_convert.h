// f16 and bf16 to f32 and back, one register at a time. Narrowing rounds to nearest, ties to even, and keeps a NaN a
// NaN. Integer arithmetic that serves every machine, whatever its treatment of subnormal numbers; on x86 the single
// instructions that do the same to the bit take the place of what GCC makes of it.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <type_traits>

#include "simd.h"

// In kernels for 32 and 64 byte registers (AVX2 with F16C, AVX-512). Assembly, because intrinsics cannot be called in
// what is inlined into functions of several instruction sets; Clang checks its operands before that.
#if RAS_X86_LEVELS && !defined(__clang__)
#define RAS_X86_CONVERSIONS 1
#else
#define RAS_X86_CONVERSIONS 0
#endif

namespace ras::simd {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

template <int kBytes>
RAS_INLINE typename Register<kBytes>::U32 zero_extended(typename Register<kBytes>::U16 h) {
#if RAS_X86_CONVERSIONS
  if constexpr (kBytes == 64) {
    typename Register<kBytes>::U32 u;
    asm("vpmovzxwd %1, %0" : "=v"(u) : "v"(h));
    return u;
  }
#endif
  return __builtin_convertvector(h, typename Register<kBytes>::U32);
}

template <int kBytes>
RAS_INLINE typename Register<kBytes>::U16 low_halves(typename Register<kBytes>::U32 u) {
#if RAS_X86_CONVERSIONS
  if constexpr (kBytes == 64) {
    typename Register<kBytes>::U16 h;
    asm("vpmovdw %1, %0" : "=v"(h) : "v"(u));
    return h;
  }
#endif
  return __builtin_convertvector(u, typename Register<kBytes>::U16);
}

template <int kBytes>
RAS_INLINE typename Register<kBytes>::F32 widened_half(typename Register<kBytes>::U16 h) {
  using F32 = typename Register<kBytes>::F32;
  using I32 = typename Register<kBytes>::I32;
  using U32 = typename Register<kBytes>::U32;
#if RAS_X86_CONVERSIONS
  if constexpr (kBytes >= 32) {
    F32 x;
    asm("vcvtph2ps %1, %0" : "=v"(x) : "v"(h));
    return x;
  }
#endif
  const U32 u = zero_extended<kBytes>(h);
  const U32 sign = (u & 0x8000u) << 16, magnitude = u & 0x7fffu;
  const U32 special = magnitude > 0x7bffu ? (U32{} + (112u << 23)) : U32{};  // inf and NaN keep a full exponent
  const U32 normal = (magnitude << 13) + (112u << 23) + special;
  const F32 subnormal = __builtin_convertvector(reinterpret_cast<I32>(magnitude), F32) * 0x1p-24f;
  return reinterpret_cast<F32>((magnitude < 0x0400u ? reinterpret_cast<U32>(subnormal) : normal) | sign);
}

template <int kBytes>
RAS_INLINE typename Register<kBytes>::U16 narrowed_half(typename Register<kBytes>::F32 x) {
  using F32 = typename Register<kBytes>::F32;
  using U32 = typename Register<kBytes>::U32;
#if RAS_X86_CONVERSIONS
  if constexpr (kBytes >= 32) {
    typename Register<kBytes>::U16 h;
    asm("vcvtps2ph $0, %1, %0" : "=v"(h) : "v"(x));
    return h;
  }
#endif
  const U32 u = reinterpret_cast<U32>(x);
  const U32 sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  const U32 normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  // 0.5 has the last place 2^-24, the unit of f16's subnormal numbers: the addition rounds to it.
  const U32 subnormal = reinterpret_cast<U32>(reinterpret_cast<F32>(magnitude) + 0.5f) - 0x3f000000u;
  U32 rounded = magnitude < 0x38800000u ? subnormal : normal;
  rounded = magnitude > 0x477fefffu ? U32{} + 0x7c00u : rounded;  // 65520 and above round to inf
  rounded = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : rounded;
  return low_halves<kBytes>(rounded | sign);
}

// One register of T to f32 and back; T is Half or BFloat16.
template <int kBytes, class T>
RAS_INLINE typename Register<kBytes>::F32 widened(typename Register<kBytes>::U16 h) {
  if constexpr (std::is_same_v<T, Half>) {
    return widened_half<kBytes>(h);
  } else {
    return reinterpret_cast<typename Register<kBytes>::F32>(zero_extended<kBytes>(h) << 16);
  }
}

template <int kBytes, class T>
RAS_INLINE typename Register<kBytes>::U16 narrowed(typename Register<kBytes>::F32 x) {
  if constexpr (std::is_same_v<T, Half>) {
    return narrowed_half<kBytes>(x);
  } else {
    using U32 = typename Register<kBytes>::U32;
    const U32 u = reinterpret_cast<U32>(x);
    const U32 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return low_halves<kBytes>(x != x ? U32{} + 0x7fc0u : rounded);
  }
}

}  // namespace ras::simd
