// How add_rms_norm_steer_ is cut: a block a row. Rows that fit are kept in registers between the two passes over them;
// longer ones are read again.
#pragma once

#include "plan.h"

namespace ras {

constexpr int kNormThreads = 256;

// Groups of eight elements a thread keeps: 2, 4 or 8, or 0 for a row too long to keep.
inline int norm_groups(int64_t hidden) {
  const int64_t groups = ceil_div(hidden, 8 * kNormThreads);
  return groups <= 2 ? 2 : groups <= 4 ? 4 : groups <= 8 ? 8 : 0;
}

// Bytes are those of one element; residual_bytes is 0 without a residual. Every entry is counted as steered.
inline Plan plan_add_rms_norm_steer(int64_t n_rows, int64_t hidden, int64_t batch, int64_t x_bytes,
                                    int64_t residual_bytes, int64_t out_bytes, int64_t weight_bytes,
                                    int64_t prototype_bytes) {
  const int64_t elements = n_rows * hidden, steered = batch * hidden;
  return {{{"add_rms_norm_steer_kernel", n_rows, 1, 1, kNormThreads, 2 * (kNormThreads / 32) * 4}},
          0,
          elements * (x_bytes + 2 * residual_bytes + out_bytes) + hidden * weight_bytes + steered * prototype_bytes +
              16 * batch,
          (4 + (residual_bytes ? 1 : 0)) * elements + 4 * steered};
}

}  // namespace ras
