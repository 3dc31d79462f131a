// steer_: every row of the batch toward its prototype, by its risk. See steering.h for the formula at its edges.
#include <algorithm>

#include "../contract/steer.h"
#include "ops.h"
#include "parallel.h"
#include "steering.h"

namespace ras::cpu {
namespace {

// Columns of a row that one thread steers at a time: a row as wide as a vocabulary is shared among threads too.
constexpr int64_t kColumns = 4096;

}  // namespace

Steering steering_of(const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
                     const Tensor& risk) {
  // The cast serves the one struct for rows that are read and rows that are written.
  return {rows.const_data_ptr<int32_t>(),
          slot.const_data_ptr<int32_t>(),
          step.const_data_ptr<int32_t>(),
          risk.const_data_ptr<float>(),
          {const_cast<void*>(prototypes.const_data_ptr()), prototypes.scalar_type()},
          prototypes.stride(0),
          prototypes.stride(1),
          rows.size(0),
          prototypes.size(0),
          prototypes.size(1)};
}

std::vector<int64_t> active_entries(const Steering& s, int64_t n_rows) {
  std::vector<int64_t> active;
  active.reserve(s.batch);
  int32_t last = -1;
  bool ascending = true;
  for (int64_t b = 0; b < s.batch; ++b) {
    RAS_CHECK(s.rows[b] < n_rows, "rows must be below the number of rows ", n_rows, ", got ", s.rows[b], " at ", b);
    RAS_CHECK(s.slot[b] < s.slots, "slot must be below the number of slots ", s.slots, ", got ", s.slot[b], " at ", b);
    const bool in_schedule = s.step[b] >= 0 && s.step[b] < s.steps;
    if (s.rows[b] >= 0 && s.slot[b] >= 0 && in_schedule && s.risk[b] != 0.0f) {
      active.push_back(b);
      ascending = ascending && s.rows[b] > last;
      last = s.rows[b];
    }
  }
  if (!ascending) {
    std::vector<int32_t> named;
    named.reserve(active.size());
    for (const int64_t b : active) {
      named.push_back(s.rows[b]);
    }
    std::sort(named.begin(), named.end());
    const auto twice = std::adjacent_find(named.begin(), named.end());
    RAS_CHECK(twice == named.end(), "rows must name each row at most once, got row ", *twice, " twice");
  }
  return active;
}

void steer_(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
            const Tensor& risk) {
  check_steer(x, rows, prototypes, slot, step, risk);
  const Steering s = steering_of(rows, prototypes, slot, step, risk);
  const std::vector<int64_t> active = active_entries(s, x.size(0));
  const simd::AnyRow matrix{x.mutable_data_ptr(), x.scalar_type()};
  const int64_t stride = x.stride(0), hidden = x.size(1);
  const int64_t blocks = (hidden + kColumns - 1) / kColumns;
  run_tasks(static_cast<int64_t>(active.size()) * blocks, grain(std::min(kColumns, hidden)), [&](int64_t task) {
    const int64_t b = active[task / blocks];
    const int64_t start = task % blocks * kColumns;
    const int64_t count = std::min(kColumns, hidden - start);
    steer_columns(matrix.from(s.rows[b] * stride + start), s.prototype(b).from(start), s.dose(b), count);
  });
}

}  // namespace ras::cpu
