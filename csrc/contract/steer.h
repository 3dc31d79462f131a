// What steer_ may be called with. x (T, D) is written; the rest is read.
#pragma once

#include "../check.h"

namespace ras {

// The arguments that say which rows get which prototype in what dose; shared with the fused norm.
inline void check_steering(const Tensor& x, const char* x_name, const Tensor& rows, const Tensor& prototypes,
                           const Tensor& slot, const Tensor& step, const Tensor& risk) {
  constexpr const char* kPrototypeAxes = "(slots, steps, hidden)";
  check_dims(rows, "rows", "(batch,)", 1);
  check_type(rows, "rows", ScalarType::Int);
  check_rows(rows, "rows");

  check_dims(prototypes, "prototypes", kPrototypeAxes, 3);
  check_size(prototypes, "prototypes", kPrototypeAxes, 2, "hidden", x.size(1));
  check_floating(prototypes, "prototypes");
  check_rows(prototypes, "prototypes");

  const int64_t batch = rows.size(0);
  const struct {
    const Tensor& tensor;
    const char* name;
    ScalarType type;
  } per_row[] = {{slot, "slot", ScalarType::Int}, {step, "step", ScalarType::Int}, {risk, "risk", ScalarType::Float}};
  for (const auto& argument : per_row) {
    check_dims(argument.tensor, argument.name, "(batch,)", 1);
    check_size(argument.tensor, argument.name, "(batch,)", 0, "batch", batch);
    check_type(argument.tensor, argument.name, argument.type);
    check_rows(argument.tensor, argument.name);
    check_same_device(argument.tensor, argument.name, x, x_name);
    check_disjoint(x, x_name, argument.tensor, argument.name);
  }
  check_same_device(rows, "rows", x, x_name);
  check_same_device(prototypes, "prototypes", x, x_name);
  check_disjoint(x, x_name, rows, "rows");
  check_disjoint(x, x_name, prototypes, "prototypes");
}

inline void check_steer(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot,
                        const Tensor& step, const Tensor& risk) {
  check_dims(x, "x", "(rows, hidden)", 2);
  check_floating(x, "x");
  check_rows(x, "x");
  check_distinct_rows(x, "x");
  check_steering(x, "x", rows, prototypes, slot, step, risk);
}

}  // namespace ras
