// The steering itself, on rows that are already checked: x <- (1 - r) x + r mu, rounded once to x's type.
//
// The convex form keeps an infinite logit infinite for 0 <= r < 1 (x + r (mu - x) would make it NaN). r = 1 writes mu
// whatever x held, r = 0 leaves the row's bits alone, and a risk that is no finite number counts as 1: a broken
// estimate steers, it never lets pass.
#pragma once

#include <vector>

#include "row.h"

namespace ras::cpu {

struct Steering {
  const int32_t* rows;
  const int32_t* slot;
  const int32_t* step;
  const float* risk;
  const void* prototypes;
  ScalarType prototype_type;
  int64_t slot_stride, step_stride;
  int64_t batch, slots, steps;
};

Steering steering_of(const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
                     const Tensor& risk);

// The entries of the batch that change a row. Raises for a row or slot that does not exist, or a row named twice.
std::vector<int64_t> active_entries(const Steering& steering, int64_t n_rows);

// Steers the rows of x (n_rows, hidden) that `active` names.
void steer_rows(void* x, ScalarType type, int64_t row_stride, int64_t hidden, const Steering& steering,
                const std::vector<int64_t>& active);

}  // namespace ras::cpu
