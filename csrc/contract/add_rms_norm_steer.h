// What add_rms_norm_steer_ may be called with. out (T, D) and residual (T, D) are written; the rest is read.
#pragma once

#include <optional>

#include "steer.h"

namespace ras {

inline void check_add_rms_norm_steer(const Tensor& out, const Tensor& x, const std::optional<Tensor>& residual,
                                     const Tensor& weight, double eps, const Tensor& rows, const Tensor& prototypes,
                                     const Tensor& slot, const Tensor& step, const Tensor& risk) {
  constexpr const char* kAxes = "(rows, hidden)";
  check_dims(x, "x", kAxes, 2);
  check_floating(x, "x");
  check_rows(x, "x");

  check_dims(out, "out", kAxes, 2);
  check_size(out, "out", kAxes, 0, "rows", x.size(0));
  check_size(out, "out", kAxes, 1, "hidden", x.size(1));
  check_floating(out, "out");
  check_rows(out, "out");
  check_distinct_rows(out, "out");
  check_same_device(out, "out", x, "x");
  check_disjoint(out, "out", x, "x");

  check_dims(weight, "weight", "(hidden,)", 1);
  check_size(weight, "weight", "(hidden,)", 0, "hidden", x.size(1));
  check_floating(weight, "weight");
  check_rows(weight, "weight");
  check_same_device(weight, "weight", x, "x");
  check_disjoint(out, "out", weight, "weight");

  RAS_CHECK(std::isfinite(eps) && eps >= 0, "eps must be finite and not negative, got ", eps);

  if (residual) {
    check_dims(*residual, "residual", kAxes, 2);
    check_size(*residual, "residual", kAxes, 0, "rows", x.size(0));
    check_size(*residual, "residual", kAxes, 1, "hidden", x.size(1));
    check_floating(*residual, "residual");
    check_rows(*residual, "residual");
    check_distinct_rows(*residual, "residual");
    check_same_device(*residual, "residual", x, "x");
    check_disjoint(*residual, "residual", x, "x");
    check_disjoint(*residual, "residual", out, "out");
    check_disjoint(*residual, "residual", weight, "weight");
  }
  check_steering(out, "out", rows, prototypes, slot, step, risk);
  if (residual) {
    check_disjoint(*residual, "residual", prototypes, "prototypes");
    check_disjoint(*residual, "residual", rows, "rows");
    check_disjoint(*residual, "residual", slot, "slot");
    check_disjoint(*residual, "residual", step, "step");
    check_disjoint(*residual, "residual", risk, "risk");
  }
}

}  // namespace ras
