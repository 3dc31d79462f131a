// steer_ on a GPU: x[row] <- (1 - r) x[row] + r prototypes[slot, step], for the rows a batch names.
//
// A block takes kSteerColumns columns of one entry, eight neighbouring ones a thread. Which rows, which prototype and
// what dose are read from device memory, so that a captured graph follows them.
#pragma once

#include "dose.cuh"
#include "launch.cuh"
#include "steer_plan.h"

namespace ras {

struct SteerArguments {
  WrittenRows x;  // (n_rows, hidden)
  SteerEntries entries;
  int64_t n_rows, hidden;
};

// Grid: batch * ceil(hidden / kSteerColumns).
static __global__ void __launch_bounds__(kSteerThreads) steer_kernel(SteerArguments a) {
  const SteerEntries& s = a.entries;
  const int64_t column_blocks = (a.hidden + kSteerColumns - 1) / kSteerColumns;
  const int64_t entry = blockIdx.x / column_blocks;
  if (s.rows[entry] >= a.n_rows || s.slot[entry] >= s.n_slots) {
    __trap();  // a row left unsteered without a word would be worse
  }
  if (!steers(s, entry)) {
    return;
  }
  const int64_t column = blockIdx.x % column_blocks * kSteerColumns + threadIdx.x * kEight;
  const int64_t count = a.hidden - column;
  if (count <= 0) {
    return;
  }
  const float dose = dose_of(s, entry);
  const int64_t place = s.rows[entry] * a.x.stride + column;
  float x[kEight] = {}, mu[kEight];
  load_eight(mu, s.prototypes.data, s.prototypes.type, prototype_of(s, entry) + column, count, s.prototypes.aligned);
  if (dose != 1.0f) {
    load_eight(x, a.x.data, a.x.type, place, count, a.x.aligned);
  }
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    x[i] = steered(x[i], mu[i], dose);
  }
  store_eight(a.x.data, a.x.type, place, x, count, a.x.aligned);
}

inline void enqueue_steer(const Plan& plan, const SteerArguments& arguments, cudaStream_t stream) {
  launch(steer_kernel, plan.launches[0], Behind::kStream, stream, arguments);
}

}  // namespace ras
