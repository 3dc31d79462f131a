// steer_ on a GPU: x[row] <- (1 - r) x[row] + r prototypes[slot, step], for the rows a batch names.
//
// A block takes kSteerColumns columns of one entry, neighbouring threads neighbouring columns. Which rows, which
// prototype and what dose are read from device memory, so that a captured graph follows them; an entry that steers
// nothing returns at once and leaves its row's bits alone. The two products and the sum are rounded one by one, as on
// the CPU, so that both give the same bits.
#pragma once

#include "convert.cuh"
#include "launch.cuh"
#include "steer_plan.h"

namespace ras {

template <class X, class P>
struct SteerArguments {
  X* x;                 // (n_rows, hidden), row_stride apart
  const P* prototypes;  // (n_slots, n_steps, hidden)
  const int32_t* rows;  // (batch)
  const int32_t* slot;  // (batch)
  const int32_t* step;  // (batch)
  const float* risk;    // (batch)
  int64_t row_stride, slot_stride, step_stride;
  int64_t n_rows, n_slots, n_steps, hidden;
};

template <class X, class P>
__global__ void __launch_bounds__(kSteerThreads) steer_kernel(SteerArguments<X, P> a) {
  const int64_t column_blocks = (a.hidden + kSteerColumns - 1) / kSteerColumns;
  const int64_t entry = blockIdx.x / column_blocks;
  const int64_t row = a.rows[entry], slot = a.slot[entry], step = a.step[entry];
  float risk = a.risk[entry];
  if (row >= a.n_rows || slot >= a.n_slots) {
    __trap();  // a row left unsteered without a word would be worse
  }
  if (row < 0 || slot < 0 || step < 0 || step >= a.n_steps || risk == 0.0f) {
    return;
  }
  // A risk that is no finite number counts as 1.
  risk = isfinite(risk) ? risk : 1.0f;

  X* x = a.x + row * a.row_stride;
  const P* target = a.prototypes + slot * a.slot_stride + step * a.step_stride;
  const int64_t first = (blockIdx.x % column_blocks) * kSteerColumns;
  const int64_t past = first + kSteerColumns < a.hidden ? first + kSteerColumns : a.hidden;
  for (int64_t i = first + threadIdx.x; i < past; i += kSteerThreads) {
    const float p = to_float(target[i]);
    // At full dose x is not read: whatever it held is replaced.
    x[i] = from_float<X>(
        risk == 1.0f ? p : __fadd_rn(__fmul_rn(__fsub_rn(1.0f, risk), to_float(x[i])), __fmul_rn(risk, p)));
  }
}

template <class X, class P>
void enqueue_steer(const Plan& plan, const SteerArguments<X, P>& arguments, cudaStream_t stream) {
  launch(steer_kernel<X, P>, plan.launches[0], Behind::kStream, stream, arguments);
}

}  // namespace ras
