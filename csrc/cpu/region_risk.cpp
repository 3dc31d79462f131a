// region_risk: c_j = sigmoid(slope (cos(h_j - center, direction) - bias)) for every visual token j, pooled per image
// region with the attention a_j as weight: mass = sum a_j, risk = sum a_j c_j / mass; pooled is the same over all
// regions. Tokens are scored in parallel and pooled in their order, so the result is the same for any number of
// threads.
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "../contract/region_risk.h"
#include "ops.h"
#include "parallel.h"
#include "row_access.h"

namespace ras::cpu {
namespace {

using simd::AnyRow;
using simd::for_each_sixteen;
using simd::Row;
using simd::Sums;

struct Direction {
  const float* direction;
  const float* center = nullptr;  // null: the origin
  float norm = 0;
  float slope = 0, bias = 0;
};

struct Cosine {
  float dot, square;
};

template <int kBytes, class Hidden>
RAS_INLINE Cosine project(const Hidden& hidden, const Direction& to, int64_t width) {
  const Row<const float> direction{to.direction}, center{to.center};
  Sums<kBytes> dots, squares;
  const auto add = [&](const auto& h, const auto& toward, int k) RAS_ALWAYS_INLINE {
    dots.part[k] += h * toward;
    squares.part[k] += h * h;
  };
  if (to.center) {
    for_each_sixteen(width, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
      const auto h = hidden.template load<kBytes>(i, part) - center.template load<kBytes>(i, part);
      add(h, direction.template load<kBytes>(i, part), k);
    });
  } else {
    for_each_sixteen(width, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
      add(hidden.template load<kBytes>(i, part), direction.template load<kBytes>(i, part), k);
    });
  }
  return {dots.total(), squares.total()};
}

// Risk of one token. A token without a direction (h = center, or a zero direction) has cosine 0; one whose cosine is
// no finite number has risk 1.
float token_risk(const Cosine& token, const Direction& to) {
  const float norm = std::sqrt(token.square);
  if (!std::isfinite(token.dot) || !std::isfinite(norm) || !std::isfinite(to.norm)) {
    return 1.0f;
  }
  const float cosine = norm == 0 || to.norm == 0 ? 0.0f : std::clamp(token.dot / (norm * to.norm), -1.0f, 1.0f);
  return 1.0f / (1.0f + std::exp(-to.slope * (cosine - to.bias)));
}

float length_of(const float* vector, int64_t width) {
  float square = 0;
  simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
    square = project<kBytes>(Row<const float>{vector}, {.direction = vector}, width).square;
  });
  return std::sqrt(square);
}

// Weighted mean; without weight there is no evidence (0), and a broken weight counts as risk.
float pooled_risk(float weighted, float mass) {
  if (mass == 0.0f && weighted == 0.0f) {
    return 0.0f;
  }
  const float risk = weighted / mass;
  return std::isfinite(risk) ? risk : 1.0f;
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> region_risk(const Tensor& attention, const Tensor& hidden, const Tensor& direction,
                                               const std::optional<Tensor>& center, double slope, double bias,
                                               const Tensor& region, int64_t n_regions) {
  check_region_risk(attention, hidden, direction, center, slope, bias, region, n_regions);
  const int64_t batch = hidden.size(0), tokens = hidden.size(1), width = hidden.size(2);
  // Only read: the cast serves the one struct for rows that are read and rows that are written.
  const AnyRow states{const_cast<void*>(hidden.const_data_ptr()), hidden.scalar_type()};
  const float* a = attention.const_data_ptr<float>();
  const int32_t* where = region.const_data_ptr<int32_t>();
  const int64_t a_stride = attention.stride(0), where_stride = region.stride(0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t j = 0; j < tokens; ++j) {
      const int32_t r = where[b * where_stride + j];
      RAS_CHECK(r < n_regions, "region must be below n_regions ", n_regions, ", got ", r, " at (", b, ", ", j, ")");
    }
  }

  const float* toward = direction.const_data_ptr<float>();
  const Direction to{toward, center ? center->const_data_ptr<float>() : nullptr, length_of(toward, width),
                     static_cast<float>(slope), static_cast<float>(bias)};
  const int64_t batch_stride = hidden.stride(0), token_stride = hidden.stride(1);
  std::vector<float> token(batch * tokens);
  run_tasks(batch * tokens, grain(width), [&](int64_t task) {
    const int64_t b = task / tokens, j = task % tokens;
    if (where[b * where_stride + j] >= 0) {
      Cosine cosine;
      simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
        simd::with_rows([&](const auto& h) RAS_ALWAYS_INLINE { cosine = project<kBytes>(h, to, width); },
                        states.from(b * batch_stride + j * token_stride));
      });
      token[task] = token_risk(cosine, to);
    }
  });

  Tensor mass = torch::stable::new_empty(hidden, {batch, n_regions}, ScalarType::Float);
  Tensor risk = torch::stable::new_empty(hidden, {batch, n_regions}, ScalarType::Float);
  Tensor pooled = torch::stable::new_empty(hidden, {batch}, ScalarType::Float);
  float* masses = mass.mutable_data_ptr<float>();
  float* risks = risk.mutable_data_ptr<float>();
  float* wholes = pooled.mutable_data_ptr<float>();
  std::fill_n(masses, batch * n_regions, 0.0f);
  std::fill_n(risks, batch * n_regions, 0.0f);
  for (int64_t b = 0; b < batch; ++b) {
    float* mass_row = masses + b * n_regions;
    float* risk_row = risks + b * n_regions;
    for (int64_t j = 0; j < tokens; ++j) {
      const int32_t r = where[b * where_stride + j];
      if (r >= 0) {
        mass_row[r] += a[b * a_stride + j];
        risk_row[r] += a[b * a_stride + j] * token[b * tokens + j];
      }
    }
    float all_mass = 0, all_weighted = 0;
    for (int64_t r = 0; r < n_regions; ++r) {
      all_mass += mass_row[r];
      all_weighted += risk_row[r];
      risk_row[r] = pooled_risk(risk_row[r], mass_row[r]);
    }
    wholes[b] = pooled_risk(all_weighted, all_mass);
  }
  return {mass, risk, pooled};
}

}  // namespace ras::cpu
