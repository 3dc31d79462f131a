// steer_: every row of the batch toward its prototype, by its risk. See steering.h for the formula at its edges.
#include <algorithm>

#include "../contract/steer.h"
#include "ops.h"
#include "parallel.h"
#include "steering.h"

namespace ras::cpu {

Steering steering_of(const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
                     const Tensor& risk) {
  return {rows.const_data_ptr<int32_t>(),
          slot.const_data_ptr<int32_t>(),
          step.const_data_ptr<int32_t>(),
          risk.const_data_ptr<float>(),
          prototypes.const_data_ptr(),
          prototypes.scalar_type(),
          prototypes.stride(0),
          prototypes.stride(1),
          rows.size(0),
          prototypes.size(0),
          prototypes.size(1)};
}

std::vector<int64_t> active_entries(const Steering& s, int64_t n_rows) {
  std::vector<int64_t> active;
  std::vector<int32_t> named;
  for (int64_t b = 0; b < s.batch; ++b) {
    RAS_CHECK(s.rows[b] < n_rows, "rows must be below the number of rows ", n_rows, ", got ", s.rows[b], " at ", b);
    RAS_CHECK(s.slot[b] < s.slots, "slot must be below the number of slots ", s.slots, ", got ", s.slot[b], " at ", b);
    const bool in_schedule = s.step[b] >= 0 && s.step[b] < s.steps;
    if (s.rows[b] >= 0 && s.slot[b] >= 0 && in_schedule && s.risk[b] != 0.0f) {
      active.push_back(b);
      named.push_back(s.rows[b]);
    }
  }
  std::sort(named.begin(), named.end());
  const auto twice = std::adjacent_find(named.begin(), named.end());
  RAS_CHECK(twice == named.end(), "rows must name each row at most once, got row ", *twice, " twice");
  return active;
}

void steer_rows(void* x, ScalarType type, int64_t row_stride, int64_t hidden, const Steering& s,
                const std::vector<int64_t>& active) {
  // Blocks of all rows in one range, so that a single row as wide as a vocabulary is shared among threads too.
  const int64_t blocks = (hidden + kBlock - 1) / kBlock;
  run_tasks(static_cast<int64_t>(active.size()) * blocks, grain(kBlock), [&](int64_t task) {
    float value[kBlock], target[kBlock];
    const int64_t b = active[task / blocks];
    const int64_t start = (task % blocks) * kBlock;
    const int64_t count = std::min(kBlock, hidden - start);
    const int64_t prototype = s.slot[b] * s.slot_stride + s.step[b] * s.step_stride;
    const int64_t offset = s.rows[b] * row_stride + start;
    const float risk = std::isfinite(s.risk[b]) ? s.risk[b] : 1.0f;
    widen(s.prototypes, s.prototype_type, prototype + start, count, target);
    if (risk != 1.0f) {
      widen(x, type, offset, count, value);
      for (int64_t i = 0; i < count; ++i) {
        target[i] = (1.0f - risk) * value[i] + risk * target[i];
      }
    }
    narrow(target, count, x, type, offset);
  });
}

void steer_(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
            const Tensor& risk) {
  check_steer(x, rows, prototypes, slot, step, risk);
  const Steering steering = steering_of(rows, prototypes, slot, step, risk);
  const std::vector<int64_t> active = active_entries(steering, x.size(0));
  steer_rows(x.mutable_data_ptr(), x.scalar_type(), x.stride(0), x.size(1), steering, active);
}

}  // namespace ras::cpu
