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
  // 32 bits: a division of 64 takes longer than the arithmetic of all eight columns.
  const unsigned column_blocks = static_cast<unsigned>(ceil_div(a.hidden, kSteerColumns));
  const Entry entry = load_entry(s, blockIdx.x / column_blocks, a.n_rows);
  const int64_t column = static_cast<int64_t>(blockIdx.x % column_blocks) * kSteerColumns + threadIdx.x * kEight;
  const int64_t count = a.hidden - column;
  if (!entry.steers(s) || count <= 0) {
    return;
  }
  const float dose = entry.dose();
  const int64_t place = entry.row * a.x.stride + column;
  float x[kEight] = {}, mu[kEight];
  load_eight(mu, s.prototypes.data, s.prototypes.type, entry.prototype(s) + column, count, s.prototypes.aligned);
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
