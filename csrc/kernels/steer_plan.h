// How steer_ is cut: a block takes kSteerColumns columns of one entry of the batch.
#pragma once

#include "plan.h"

namespace ras {

constexpr int kSteerThreads = 256;
constexpr int kSteerColumns = 8 * kSteerThreads;

// x_bytes and prototype_bytes: of one element. Every entry is counted as steered, with a prototype of its own.
inline Plan plan_steer(int64_t batch, int64_t hidden, int64_t x_bytes, int64_t prototype_bytes) {
  const int64_t elements = batch * hidden;
  return {{{"steer_kernel", batch * ceil_div(hidden, kSteerColumns), 1, 1, kSteerThreads, 0}},
          0,
          elements * (2 * x_bytes + prototype_bytes) + 16 * batch,
          4 * elements};
}

}  // namespace ras
