// risk_score: S = cos(sum_n gamma^n softmax(z_n), prototype) over a row's real steps n, then r = sigmoid(alpha (S -
// s_base)).
//
// The vocabulary is cut into slices of fixed size. One pass finds each slice's maximum and sum of exponentials, a
// second the mixture's dot product and norm; slices are merged in order, so the result is the same for any number of
// threads. Nothing of the vocabulary's size is written.
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../contract/risk_score.h"
#include "ops.h"
#include "parallel.h"
#include "row.h"

namespace ras::cpu {
namespace {

constexpr int64_t kSlice = 8192;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Exponentials {
  float max = -kInfinity;
  float sum = 0;  // of exp(z - max)
};

struct Alignment {
  float dot = 0;     // mixture . prototype
  float square = 0;  // mixture . mixture
};

Exponentials exponentials(const void* logits, ScalarType type, int64_t offset, int64_t count) {
  float z[kBlock];
  Exponentials slice;
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t n = std::min(kBlock, count - start);
    widen(logits, type, offset + start, n, z);
    slice.max = std::max(slice.max, *std::max_element(z, z + n));
  }
  // A slice of nothing but -inf has the sum 0; a NaN shows up in the sum.
  const float shift = slice.max == -kInfinity ? 0.0f : slice.max;
  LaneSum sum;
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t n = std::min(kBlock, count - start);
    widen(logits, type, offset + start, n, z);
    sum.add(n, [&](int64_t i) { return std::exp(z[i] - shift); });
  }
  slice.sum = sum.total();
  return slice;
}

Exponentials merged(const Exponentials* slices, int64_t n) {
  Exponentials whole;
  for (int64_t i = 0; i < n; ++i) {
    whole.max = std::max(whole.max, slices[i].max);
  }
  for (int64_t i = 0; i < n; ++i) {
    const float factor = slices[i].max == -kInfinity ? 1.0f : std::exp(slices[i].max - whole.max);
    whole.sum += slices[i].sum * factor;
  }
  return whole;
}

float squared_norm(const float* prototype, int64_t vocabulary) {
  LaneSum sum;
  sum.add(vocabulary, [&](int64_t i) { return prototype[i] * prototype[i]; });
  return sum.total();
}

}  // namespace

std::tuple<Tensor, Tensor> risk_score(const Tensor& logits, const Tensor& length, const Tensor& prototype, double gamma,
                                      double alpha, double s_base) {
  check_risk_score(logits, length, prototype, gamma, alpha, s_base);
  const int64_t batch = logits.size(0), steps = logits.size(1), vocabulary = logits.size(2);
  const int64_t slices = (vocabulary + kSlice - 1) / kSlice;
  const ScalarType type = logits.scalar_type();
  const int64_t row_stride = logits.stride(0), step_stride = logits.stride(1);
  const void* z = logits.const_data_ptr();
  const float* target = prototype.const_data_ptr<float>();
  const int32_t* real = length.const_data_ptr<int32_t>();
  for (int64_t b = 0; b < batch; ++b) {
    RAS_CHECK(real[b] >= 0 && real[b] <= steps, "length must lie in 0..", steps, ", got ", real[b], " at ", b);
  }
  std::vector<float> decay(steps);
  for (int64_t n = 0; n < steps; ++n) {
    decay[n] = static_cast<float>(std::pow(gamma, static_cast<double>(n)));
  }

  std::vector<Exponentials> parts(batch * steps * slices);
  const auto in_slice = [&](int64_t slice) { return std::min(kSlice, vocabulary - slice * kSlice); };
  run_tasks(batch * steps * slices, grain(in_slice(0)), [&](int64_t task) {
    const int64_t slice = task % slices, n = task / slices % steps, b = task / slices / steps;
    if (n < real[b]) {
      parts[task] = exponentials(z, type, b * row_stride + n * step_stride + slice * kSlice, in_slice(slice));
    }
  });
  std::vector<Exponentials> softmax(batch * steps);
  for (int64_t i = 0; i < batch * steps; ++i) {
    softmax[i] = merged(parts.data() + i * slices, slices);
  }

  std::vector<Alignment> aligned(batch * slices);
  run_tasks(batch * slices, grain(in_slice(0)), [&](int64_t task) {
    float mixture[kBlock], value[kBlock];
    const int64_t slice = task % slices, b = task / slices;
    const int64_t first = slice * kSlice, past = first + in_slice(slice);
    LaneSum dots, squares;
    for (int64_t start = first; start < past; start += kBlock) {
      const int64_t count = std::min(kBlock, past - start);
      std::fill_n(mixture, count, 0.0f);
      for (int64_t n = 0; n < real[b]; ++n) {
        widen(z, type, b * row_stride + n * step_stride + start, count, value);
        const Exponentials& whole = softmax[b * steps + n];
        const float factor = decay[n] / whole.sum;
        for (int64_t i = 0; i < count; ++i) {
          mixture[i] += factor * std::exp(value[i] - whole.max);
        }
      }
      dots.add(count, [&](int64_t i) { return mixture[i] * target[start + i]; });
      squares.add(count, [&](int64_t i) { return mixture[i] * mixture[i]; });
    }
    aligned[task] = {dots.total(), squares.total()};
  });

  Tensor similarity = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  Tensor risk = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  float* similarity_data = similarity.mutable_data_ptr<float>();
  float* risk_data = risk.mutable_data_ptr<float>();
  const float target_square = squared_norm(target, vocabulary);
  for (int64_t b = 0; b < batch; ++b) {
    Alignment whole;
    for (int64_t slice = 0; slice < slices; ++slice) {
      whole.dot += aligned[b * slices + slice].dot;
      whole.square += aligned[b * slices + slice].square;
    }
    float s = whole.dot / (std::sqrt(whole.square) * std::sqrt(target_square));
    s = std::isfinite(s) ? std::clamp(s, -1.0f, 1.0f) : kNaN;
    const bool judged = real[b] > 0 && !std::isnan(s);
    const float exponent = static_cast<float>(alpha) * (s - static_cast<float>(s_base));
    similarity_data[b] = real[b] > 0 ? s : 0.0f;
    // Nothing judged, or a broken row: it is steered in full rather than passed.
    risk_data[b] = judged ? 1.0f / (1.0f + std::exp(-exponent)) : 1.0f;
  }
  return {similarity, risk};
}

}  // namespace ras::cpu
