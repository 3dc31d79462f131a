// Sixteen f32 lanes in the compiler's vector extension, held in as many registers as the machine needs: one of AVX-512,
// two of AVX2, four of SSE2 or NEON. Sums run over sixteen lanes everywhere and nothing is reordered, so every
// instruction set gives the same bits (but for risk_score and attention_peak_, which let the compiler fuse multiply and
// add). Types in memory: simd_memory.h; exponentials: simd_exp.h.
//
// A kernel is a lambda over the width of a register in bytes, always inlined into one copy for each instruction set:
//   on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE { F32x16<kBytes> x = ...; });
// Whatever it calls must be always inlined too (RAS_INLINE), or that part is compiled for the oldest machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#define RAS_ALWAYS_INLINE __attribute__((always_inline))
#define RAS_INLINE RAS_ALWAYS_INLINE inline

// Compilers that know the levels of x86-64 by name; others build for the oldest machine only.
#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 18) || (!defined(__clang__) && __GNUC__ >= 11))
#define RAS_X86_LEVELS 1
#else
#define RAS_X86_LEVELS 0
#endif

namespace ras::simd {

constexpr int64_t kLanes = 16;

// One register of kBytes. U16 is the half register whose lanes correspond to a register of 32 bits each.
template <int kBytes>
struct Register {
  typedef float F32 __attribute__((vector_size(kBytes)));
  typedef int32_t I32 __attribute__((vector_size(kBytes)));
  typedef uint32_t U32 __attribute__((vector_size(kBytes)));
  typedef uint16_t U16 __attribute__((vector_size(kBytes / 2)));
  static constexpr int kLanes = kBytes / 4;
};

template <int kBytes>
struct F32x16 {
  static constexpr int kParts = 64 / kBytes;
  typename Register<kBytes>::F32 part[kParts];
};

// result.part[i] = f(part i of every argument); the loop is unrolled away.
template <int kBytes, class F, class... Vectors>
RAS_INLINE F32x16<kBytes> each(const F& f, const F32x16<kBytes>& first, const Vectors&... more) {
  F32x16<kBytes> result;
#pragma GCC unroll 4
  for (int i = 0; i < F32x16<kBytes>::kParts; ++i) {
    result.part[i] = f(first.part[i], more.part[i]...);
  }
  return result;
}

template <int kBytes>
RAS_INLINE F32x16<kBytes> all(float value) {
  // Adding 0 would turn -0 into 0.
  return each([=](auto zero) RAS_ALWAYS_INLINE { return value - zero; }, F32x16<kBytes>{});
}

#define RAS_LANEWISE(op)                                                                    \
  template <int kBytes>                                                                     \
  RAS_INLINE F32x16<kBytes> operator op(const F32x16<kBytes>& a, const F32x16<kBytes>& b) { \
    return each([](auto x, auto y) RAS_ALWAYS_INLINE { return x op y; }, a, b);             \
  }                                                                                         \
  template <int kBytes>                                                                     \
  RAS_INLINE F32x16<kBytes> operator op(const F32x16<kBytes>& a, float b) {                 \
    return a op all<kBytes>(b);                                                             \
  }                                                                                         \
  template <int kBytes>                                                                     \
  RAS_INLINE F32x16<kBytes> operator op(float a, const F32x16<kBytes>& b) {                 \
    return all<kBytes>(a) op b;                                                             \
  }
RAS_LANEWISE(+)
RAS_LANEWISE(-)
RAS_LANEWISE(*)
RAS_LANEWISE(/)
#undef RAS_LANEWISE

template <int kBytes>
RAS_INLINE F32x16<kBytes>& operator+=(F32x16<kBytes>& a, const F32x16<kBytes>& b) {
  return a = a + b;
}

// a < b ? then : otherwise, lane by lane; false where either is NaN.
template <int kBytes>
RAS_INLINE F32x16<kBytes> if_less(const F32x16<kBytes>& a, const F32x16<kBytes>& b, const F32x16<kBytes>& then,
                                  const F32x16<kBytes>& otherwise) {
  return each([](auto x, auto y, auto p, auto q) RAS_ALWAYS_INLINE { return x < y ? p : q; }, a, b, then, otherwise);
}

// The larger of each pair. Where one is NaN it is x, so a running maximum is overwritten by a NaN and then by the next
// number: a NaN has to be found elsewhere, in a sum for example.
template <int kBytes>
RAS_INLINE F32x16<kBytes> larger(const F32x16<kBytes>& running, const F32x16<kBytes>& x) {
  return if_less(x, running, running, x);
}

// Folds sixteen lanes into one by halves, in the same order everywhere.
template <int kBytes, class F>
RAS_INLINE float fold(const F32x16<kBytes>& x, const F& f) {
  float lanes[kLanes];
  std::memcpy(lanes, &x, sizeof(lanes));
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) {
      lanes[lane] = f(lanes[lane], lanes[lane + width]);
    }
  }
  return lanes[0];
}

template <int kBytes>
RAS_INLINE float sum(const F32x16<kBytes>& x) {
  return fold(x, [](float a, float b) RAS_ALWAYS_INLINE { return a + b; });
}

template <int kBytes>
RAS_INLINE float max(const F32x16<kBytes>& x) {
  return fold(x, [](float a, float b) RAS_ALWAYS_INLINE { return a > b ? a : b; });
}

enum class Isa { kBaseline, kV3, kV4 };

// What this machine has, or less where the environment asks for less; see isa.cpp.
Isa best_isa();

#if RAS_X86_LEVELS

template <class Kernel>
__attribute__((target("arch=x86-64-v4"))) void at_v4(const Kernel& kernel) {
  kernel.template operator()<64>();
}

template <class Kernel>
__attribute__((target("arch=x86-64-v3"))) void at_v3(const Kernel& kernel) {
  kernel.template operator()<32>();
}

template <class Kernel>
void on_best_isa(const Kernel& kernel) {
  switch (best_isa()) {
    case Isa::kV4:
      return at_v4(kernel);
    case Isa::kV3:
      return at_v3(kernel);
    default:
      return kernel.template operator()<16>();
  }
}

#else

template <class Kernel>
void on_best_isa(const Kernel& kernel) {
  kernel.template operator()<16>();
}

#endif

}  // namespace ras::simd
