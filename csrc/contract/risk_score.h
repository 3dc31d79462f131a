// What risk_score may be called with. Everything is read.
#pragma once

#include "../check.h"

namespace ras {

inline void check_risk_score(const Tensor& logits, const Tensor& length, const Tensor& prototype, double gamma,
                             double alpha, double s_base) {
  check_dims(logits, "logits", "(batch, steps, vocabulary)", 3);
  check_floating(logits, "logits");
  check_rows(logits, "logits");
  RAS_CHECK(logits.size(2) > 0, "logits must be (batch, steps, vocabulary) with a vocabulary of at least 1, got ",
            shape(logits));

  check_dims(length, "length", "(batch,)", 1);
  check_size(length, "length", "(batch,)", 0, "batch", logits.size(0));
  check_type(length, "length", ScalarType::Int);
  check_rows(length, "length");
  check_same_device(length, "length", logits, "logits");

  check_dims(prototype, "prototype", "(vocabulary,)", 1);
  check_size(prototype, "prototype", "(vocabulary,)", 0, "vocabulary", logits.size(2));
  check_type(prototype, "prototype", ScalarType::Float);
  check_rows(prototype, "prototype");
  check_same_device(prototype, "prototype", logits, "logits");

  RAS_CHECK(std::isfinite(gamma) && gamma >= 0, "gamma must be finite and not negative, got ", gamma);
  check_finite(alpha, "alpha");
  check_finite(s_base, "s_base");
}

}  // namespace ras
