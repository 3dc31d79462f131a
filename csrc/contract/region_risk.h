// What region_risk may be called with. Everything is read.
#pragma once

#include <optional>

#include "../check.h"

namespace ras {

inline void check_region_risk(const Tensor& attention, const Tensor& hidden, const Tensor& direction,
                              const std::optional<Tensor>& center, double slope, double bias, const Tensor& region,
                              int64_t n_regions) {
  constexpr const char* kTokenAxes = "(batch, tokens)";
  check_dims(hidden, "hidden", "(batch, tokens, hidden)", 3);
  check_floating(hidden, "hidden");
  check_rows(hidden, "hidden");
  RAS_CHECK(hidden.size(2) > 0, "hidden must be (batch, tokens, hidden) with a hidden size of at least 1, got ",
            shape(hidden));

  const struct {
    const Tensor& tensor;
    const char* name;
    ScalarType type;
  } per_token[] = {{attention, "attention", ScalarType::Float}, {region, "region", ScalarType::Int}};
  for (const auto& argument : per_token) {
    check_dims(argument.tensor, argument.name, kTokenAxes, 2);
    check_size(argument.tensor, argument.name, kTokenAxes, 0, "batch", hidden.size(0));
    check_size(argument.tensor, argument.name, kTokenAxes, 1, "tokens", hidden.size(1));
    check_type(argument.tensor, argument.name, argument.type);
    check_rows(argument.tensor, argument.name);
    check_same_device(argument.tensor, argument.name, hidden, "hidden");
  }

  const auto check_vector = [&](const Tensor& t, const char* name) {
    check_dims(t, name, "(hidden,)", 1);
    check_size(t, name, "(hidden,)", 0, "hidden", hidden.size(2));
    check_type(t, name, ScalarType::Float);
    check_rows(t, name);
    check_same_device(t, name, hidden, "hidden");
  };
  check_vector(direction, "direction");
  if (center) {
    check_vector(*center, "center");
  }

  check_finite(slope, "slope");
  check_finite(bias, "bias");
  RAS_CHECK(n_regions >= 0, "n_regions must not be negative, got ", n_regions);
}

}  // namespace ras
