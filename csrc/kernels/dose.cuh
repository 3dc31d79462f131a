// The steering of one entry of a batch, shared by steer_ and the fused norm: x <- (1 - r) x + r mu. The two products
// and the sum are rounded one by one, as on the CPU, so that both give the same bits.
#pragma once

#include "element.cuh"

namespace ras {

struct SteerEntries {
  const int32_t* rows;  // (batch)
  const int32_t* slot;  // (batch)
  const int32_t* step;  // (batch)
  const float* risk;    // (batch)
  ReadRows prototypes;  // (n_slots, n_steps, hidden), steps `stride` apart
  int64_t slot_stride, batch, n_slots, n_steps;
};

// What the batch says of one row.
struct Entry {
  int row = -1, slot = -1, step = -1;
  float risk = 0;

  // A row, slot, step or risk that steers nothing leaves the row's bits alone.
  __device__ bool steers(const SteerEntries& s) const {
    return row >= 0 && slot >= 0 && step >= 0 && step < s.n_steps && risk != 0.0f;
  }
  // Where the prototype starts, in elements.
  __device__ int64_t prototype(const SteerEntries& s) const {
    return slot * s.slot_stride + step * s.prototypes.stride;
  }
  // A risk that is no finite number counts as 1.
  __device__ float dose() const { return isfinite(risk) ? risk : 1.0f; }
};

// All four values are on their way before any is looked at: one trip to memory. An index outside stops the kernel, for
// a row left unsteered without a word would be worse.
__device__ inline Entry load_entry(const SteerEntries& s, int64_t i, int64_t n_rows) {
  const Entry e{s.rows[i], s.slot[i], s.step[i], s.risk[i]};
  if (e.row >= n_rows || e.slot >= s.n_slots) {
    __trap();
  }
  return e;
}

// At full dose x plays no part: whatever it held is replaced.
__device__ inline float steered(float x, float mu, float dose) {
  return dose == 1.0f ? mu : __fadd_rn(__fmul_rn(__fsub_rn(1.0f, dose), x), __fmul_rn(dose, mu));
}

}  // namespace ras
