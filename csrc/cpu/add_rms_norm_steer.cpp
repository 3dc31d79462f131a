// add_rms_norm_steer_: residual <- residual + x, out <- residual / sqrt(mean(residual^2) + eps) * weight, then the
// batch's rows of out are steered. The norm reads the residual as it was stored, and the steering reads out as it was
// stored, so the op equals the norm followed by steer_ bit for bit.
#include <cmath>

#include "../contract/add_rms_norm_steer.h"
#include "ops.h"
#include "parallel.h"
#include "steering.h"

namespace ras::cpu {
namespace {

using simd::AnyRow;

struct Matrix {
  AnyRow data{};
  int64_t stride = 0;

  AnyRow row(int64_t i) const { return data.from(i * stride); }
};

Matrix written(const Tensor& t) {
  return {{t.mutable_data_ptr(), t.scalar_type()}, t.stride(0)};
}

// The cast serves the one struct for rows that are read and rows that are written.
Matrix only_read(const Tensor& t) {
  return {{const_cast<void*>(t.const_data_ptr()), t.scalar_type()}, t.stride(0)};
}

// Sum of squares of one row of the normed input, after adding x into the residual where there is one.
template <int kBytes, class X, class Residual>
RAS_INLINE float add_and_square(const X& x, const Residual* residual, int64_t hidden) {
  simd::Sums<kBytes> squares;
  if (residual) {
    simd::for_each_sixteen(hidden, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
      residual->store(i, part, residual->template load<kBytes>(i, part) + x.template load<kBytes>(i, part));
      const auto carried = residual->template load<kBytes>(i, part);
      squares.part[k] += carried * carried;
    });
  } else {
    simd::for_each_sixteen(hidden, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
      const auto value = x.template load<kBytes>(i, part);
      squares.part[k] += value * value;
    });
  }
  return squares.total();
}

template <int kBytes, class Normed, class Weight, class Out>
RAS_INLINE void scale_row(const Normed& normed, const Weight& weight, const Out& out, float inverse, int64_t hidden) {
  const auto factor = simd::all<kBytes>(inverse);
  simd::for_each_sixteen(hidden, [&](int64_t i, auto part, int) RAS_ALWAYS_INLINE {
    out.store(i, part, normed.template load<kBytes>(i, part) * factor * weight.template load<kBytes>(i, part));
  });
}

template <int kBytes, class X, class Residual, class Out, class Weight>
RAS_INLINE void norm_row(const X& x, const Residual* residual, const Out& out, const Weight& weight, float eps,
                         int64_t hidden) {
  const float mean = add_and_square<kBytes>(x, residual, hidden) / static_cast<float>(hidden);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  if (residual) {
    scale_row<kBytes>(*residual, weight, out, inverse, hidden);
  } else {
    scale_row<kBytes>(x, weight, out, inverse, hidden);
  }
}

}  // namespace

void add_rms_norm_steer_(const Tensor& out, const Tensor& x, const std::optional<Tensor>& residual,
                         const Tensor& weight, double eps, const Tensor& rows, const Tensor& prototypes,
                         const Tensor& slot, const Tensor& step, const Tensor& risk) {
  check_add_rms_norm_steer(out, x, residual, weight, eps, rows, prototypes, slot, step, risk);
  const int64_t n_rows = x.size(0), hidden = x.size(1);
  const Steering steering = steering_of(rows, prototypes, slot, step, risk);
  const std::vector<int64_t> active = active_entries(steering, n_rows);
  std::vector<int64_t> entry_of(n_rows, -1);
  for (const int64_t b : active) {
    entry_of[steering.rows[b]] = b;
  }

  const Matrix input = only_read(x), output = written(out), carried = residual ? written(*residual) : input;
  const AnyRow gain = only_read(weight).data;
  const bool adds = residual.has_value();
  run_tasks(n_rows, grain(hidden), [&](int64_t row) {
    const AnyRow to = output.row(row);
    simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
      simd::with_rows(
          [&](const auto& from, const auto& carry, const auto& normed, const auto& weights) RAS_ALWAYS_INLINE {
            norm_row<kBytes>(from, adds ? &carry : nullptr, normed, weights, static_cast<float>(eps), hidden);
          },
          input.row(row), carried.row(row), to, gain);
    });
    if (const int64_t b = entry_of[row]; b >= 0) {
      steer_columns(to, steering.prototype(b), steering.dose(b), hidden);
    }
  });
}

}  // namespace ras::cpu
