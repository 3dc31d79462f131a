// e^x for sixteen lanes, within one unit in the last place: e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2) / 2.
//
// e^r = 1 + r + r^2 q(r), where q has degree 4 and was fitted here for the smallest largest relative error (3e-9) on
// the interval. ln 2 is taken off in two parts, the first with so few bits that n times it is exact.
#pragma once

#include "simd.h"

namespace ras::simd {

// -inf gives 0, NaN gives NaN, what is too large gives inf; results below 1.7e-38 become 0.
template <int kBytes>
RAS_INLINE F32x16<kBytes> exp(const F32x16<kBytes>& x) {
  using F32 = typename Register<kBytes>::F32;
  using U32 = typename Register<kBytes>::U32;
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  return each(
      [](F32 v) RAS_ALWAYS_INLINE {
        // Comparisons with NaN are false, so a NaN passes both clamps.
        v = v < F32{} - 87.5f ? F32{} - 87.5f : v;
        v = v > F32{} + 89.0f ? F32{} + 89.0f : v;
        const F32 shifted = v * 0x1.715476p+0f + kRound;
        const F32 n = shifted - kRound;
        const F32 r = v - n * 0x1.62e4p-1f - n * 0x1.7f7d1cp-20f;
        // Twice e^r, so that the factor 2^(n - 1) is a normal number up to the largest n.
        F32 q = r * (2 * 0.0013814540104470207f) + 2 * 0.008368745195605036f;
        q = q * r + 2 * 0.04166839079138801f;
        q = q * r + 2 * 0.16666520398318638f;
        q = q * r + 2 * 0.4999999343207676f;
        const F32 twice = (q * r) * r + (r + r) + 2.0f;
        const U32 exponent = (reinterpret_cast<U32>(shifted) + 126) << 23;
        return twice * reinterpret_cast<F32>(exponent);
      },
      x);
}

}  // namespace ras::simd
