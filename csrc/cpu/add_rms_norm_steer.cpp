// add_rms_norm_steer_: residual <- residual + x, out <- residual / sqrt(mean(residual^2) + eps) * weight, then the
// batch's rows of out are steered. The norm reads the residual as it was stored, and the steering reads out as it was
// stored, so the op equals the norm followed by steer_ bit for bit.
#include <algorithm>
#include <cmath>

#include "../contract/add_rms_norm_steer.h"
#include "ops.h"
#include "parallel.h"
#include "steering.h"

namespace ras::cpu {
namespace {

struct Matrix {
  void* data;
  ScalarType type;
  int64_t stride;
};

// Sum of squares of one row of the normed input, after adding x into the residual where there is one.
float add_and_square(const Matrix& x, const Matrix* residual, int64_t row, int64_t hidden) {
  float value[kBlock], carried[kBlock];
  LaneSum squares;
  for (int64_t start = 0; start < hidden; start += kBlock) {
    const int64_t count = std::min(kBlock, hidden - start);
    widen(x.data, x.type, row * x.stride + start, count, value);
    if (residual) {
      const int64_t offset = row * residual->stride + start;
      widen(residual->data, residual->type, offset, count, carried);
      for (int64_t i = 0; i < count; ++i) {
        carried[i] += value[i];
      }
      narrow(carried, count, residual->data, residual->type, offset);
      widen(residual->data, residual->type, offset, count, value);
    }
    squares.add(count, [&](int64_t i) { return value[i] * value[i]; });
  }
  return squares.total();
}

void scale_row(const Matrix& source, const Matrix& out, const Tensor& weight, const void* weight_data, float inverse,
               int64_t row, int64_t hidden) {
  float value[kBlock], gain[kBlock];
  for (int64_t start = 0; start < hidden; start += kBlock) {
    const int64_t count = std::min(kBlock, hidden - start);
    widen(source.data, source.type, row * source.stride + start, count, value);
    widen(weight_data, weight.scalar_type(), start, count, gain);
    for (int64_t i = 0; i < count; ++i) {
      value[i] = value[i] * inverse * gain[i];
    }
    narrow(value, count, out.data, out.type, row * out.stride + start);
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

  // x is only read; the cast serves the one struct for read and written matrices.
  const Matrix input{const_cast<void*>(x.const_data_ptr()), x.scalar_type(), x.stride(0)};
  const Matrix output{out.mutable_data_ptr(), out.scalar_type(), out.stride(0)};
  Matrix carried{};
  if (residual) {
    carried = {residual->mutable_data_ptr(), residual->scalar_type(), residual->stride(0)};
  }
  const void* weight_data = weight.const_data_ptr();
  run_tasks(n_rows, grain(hidden), [&](int64_t row) {
    const float squares = add_and_square(input, residual ? &carried : nullptr, row, hidden);
    const float mean = squares / static_cast<float>(hidden);
    const float inverse = 1.0f / std::sqrt(mean + static_cast<float>(eps));
    scale_row(residual ? carried : input, output, weight, weight_data, inverse, row, hidden);
  });
  steer_rows(output.data, output.type, output.stride, hidden, steering, active);
}

}  // namespace ras::cpu
