// The steering itself, on rows that are already checked: x <- (1 - r) x + r mu, rounded once to x's type.
//
// The convex form keeps an infinite logit infinite for 0 <= r < 1 (x + r (mu - x) would make it NaN). r = 1 writes mu
// whatever x held, r = 0 leaves the row's bits alone, and a risk that is no finite number counts as 1: a broken
// estimate steers, it never lets pass.
#pragma once

#include <cmath>
#include <vector>

#include "row_access.h"

namespace ras::cpu {

struct Steering {
  const int32_t* rows;
  const int32_t* slot;
  const int32_t* step;
  const float* risk;
  simd::AnyRow prototypes;  // only read
  int64_t slot_stride, step_stride;
  int64_t batch, slots, steps;

  float dose(int64_t entry) const { return std::isfinite(risk[entry]) ? risk[entry] : 1.0f; }
  simd::AnyRow prototype(int64_t entry) const {
    return prototypes.from(slot[entry] * slot_stride + step[entry] * step_stride);
  }
};

Steering steering_of(const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
                     const Tensor& risk);

// The entries of the batch that change a row. Raises for a row or slot that does not exist, or a row named twice.
std::vector<int64_t> active_entries(const Steering& steering, int64_t n_rows);

// Steers `count` elements of one row. The products round before their sum does, in every implementation of the op.
template <int kBytes, class X, class Mu>
RAS_INLINE void steer_columns(const X& x, const Mu& mu, float dose, int64_t count) {
  if (dose == 1.0f) {
    simd::for_each_sixteen(count, [&](int64_t i, auto part, int)
                                      RAS_ALWAYS_INLINE { x.store(i, part, mu.template load<kBytes>(i, part)); });
  } else {
    const auto kept = simd::all<kBytes>(1.0f - dose), taken = simd::all<kBytes>(dose);
    simd::for_each_sixteen(count, [&](int64_t i, auto part, int) RAS_ALWAYS_INLINE {
      const auto value = x.template load<kBytes>(i, part), target = mu.template load<kBytes>(i, part);
      x.store(i, part, kept * value + taken * target);
    });
  }
}

// The same for rows of any types, on the widest registers the machine has.
inline void steer_columns(const simd::AnyRow& x, const simd::AnyRow& mu, float dose, int64_t count) {
  simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
    simd::with_rows([&](const auto& to, const auto& target)
                        RAS_ALWAYS_INLINE { steer_columns<kBytes>(to, target, dose, count); },
                    x, mu);
  });
}

}  // namespace ras::cpu
