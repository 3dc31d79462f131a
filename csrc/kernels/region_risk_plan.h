// How region_risk is cut: a warp scores a token, reading its state once; then a block pools a row of the batch, a warp
// a region.
#pragma once

#include "plan.h"

namespace ras {

constexpr int kTokenThreads = 128;
constexpr int kPoolThreads = 256;

inline Plan plan_region_risk(int64_t batch, int64_t tokens, int64_t hidden, int64_t n_regions, int64_t hidden_bytes,
                             bool has_center) {
  const int64_t all = batch * tokens, floats = sizeof(float);
  return {{{"token_risk_kernel", ceil_div(all, kTokenThreads / 32), 1, 1, kTokenThreads, 0},
           {"pool_regions_kernel", batch, 1, 1, kPoolThreads, 2 * (kPoolThreads / 32) * floats}},
          all * floats,
          all * (hidden * hidden_bytes + 2 * floats) + (has_center ? 2 : 1) * hidden * floats +
              batch * (2 * n_regions + 1) * floats,
          all * hidden * (has_center ? 5 : 4)};
}

}  // namespace ras
