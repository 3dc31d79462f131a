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

// A row, slot, step or risk that steers nothing leaves the row's bits alone.
__device__ inline bool steers(const SteerEntries& s, int64_t entry) {
  const int step = s.step[entry];
  return s.rows[entry] >= 0 && s.slot[entry] >= 0 && step >= 0 && step < s.n_steps && s.risk[entry] != 0.0f;
}

// Where the entry's prototype starts, in elements.
__device__ inline int64_t prototype_of(const SteerEntries& s, int64_t entry) {
  return s.slot[entry] * s.slot_stride + s.step[entry] * s.prototypes.stride;
}

// A risk that is no finite number counts as 1.
__device__ inline float dose_of(const SteerEntries& s, int64_t entry) {
  const float risk = s.risk[entry];
  return isfinite(risk) ? risk : 1.0f;
}

// At full dose x plays no part: whatever it held is replaced.
__device__ inline float steered(float x, float mu, float dose) {
  return dose == 1.0f ? mu : __fadd_rn(__fmul_rn(__fsub_rn(1.0f, dose), x), __fmul_rn(dose, mu));
}

}  // namespace ras
