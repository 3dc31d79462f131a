// risk_score: S = cos(sum_n gamma^n softmax(z_n), prototype) over a row's real steps n, then r = sigmoid(alpha (S -
// s_base)). With e_n = exp(z_n - M_n) and the weights w_n = gamma^n / sum(e_n) the cosine is
// sum_n w_n <e_n, t> / sqrt(sum_nm w_n w_m <e_n, e_m>) / |t|.
//
// The logits are read from memory once, in slices of the vocabulary that fit the second-level cache (slice_score.h);
// twice for rows of many steps (many_steps.h).
// Slices have a fixed size and are merged in their order, so the result is the same for any number of threads. Nothing
// of the vocabulary's size is written.
#if defined(__GNUC__) && !defined(__clang__)
// Exponentials and sums of products: a fifth faster with fused multiply-add, where the machine has it.
#pragma GCC optimize("fp-contract=fast")
#endif

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "../contract/risk_score.h"
#include "many_steps.h"
#include "ops.h"
#include "parallel.h"
#include "slice_score.h"

namespace ras::cpu {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The cosine of one row from its slices, `stride` floats apart. Their maxima are overwritten by their scales.
float similarity_of(const SliceScore& first, int64_t slices, int64_t stride, const float* decay) {
  const int64_t steps = first.steps;
  const auto slice = [&](int64_t i) { return SliceScore{steps, first.data + i * stride}; };
  for (int64_t n = 0; n < steps; ++n) {
    float max = -kInfinity, sum = 0;
    for (int64_t i = 0; i < slices; ++i) {
      max = std::max(max, slice(i).max(n));
    }
    for (int64_t i = 0; i < slices; ++i) {
      slice(i).max(n) = rescaling(slice(i).max(n), max);
      sum += slice(i).sum(n) * slice(i).max(n);
    }
    for (int64_t i = 0; i < slices; ++i) {
      slice(i).max(n) *= decay[n] / sum;
    }
  }
  float dot = 0, square = 0, target_square = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const SliceScore score = slice(i);
    for (int64_t n = 0; n < steps; ++n) {
      float row = score.max(n) * score.product(n, n);
      for (int64_t m = n + 1; m < steps; ++m) {
        row += 2.0f * score.max(m) * score.product(n, m);
      }
      square += score.max(n) * row;
      dot += score.max(n) * score.product(n, steps);
    }
    target_square += score.product(steps, steps);
  }
  return cosine_of(dot, square, target_square);
}

}  // namespace

float rescaling(float slice, float whole) {
  return slice == whole || slice == -kInfinity ? 1.0f : std::exp(slice - whole);
}

float cosine_of(float dot, float square, float target_square) {
  const float cosine = dot / (std::sqrt(square) * std::sqrt(target_square));
  return std::isfinite(cosine) ? std::clamp(cosine, -1.0f, 1.0f) : kNaN;
}

std::tuple<Tensor, Tensor> risk_score(const Tensor& logits, const Tensor& length, const Tensor& prototype, double gamma,
                                      double alpha, double s_base) {
  check_risk_score(logits, length, prototype, gamma, alpha, s_base);
  const int64_t batch = logits.size(0), steps = logits.size(1), vocabulary = logits.size(2);
  const int64_t row_stride = logits.stride(0), step_stride = logits.stride(1);
  const float* target = prototype.const_data_ptr<float>();
  const int32_t* real = length.const_data_ptr<int32_t>();
  for (int64_t b = 0; b < batch; ++b) {
    RAS_CHECK(real[b] >= 0 && real[b] <= steps, "length must lie in 0..", steps, ", got ", real[b], " at ", b);
  }
  std::vector<float> decay(steps);
  for (int64_t n = 0; n < steps; ++n) {
    decay[n] = static_cast<float>(std::pow(gamma, static_cast<double>(n)));
  }

  // Only read: the cast serves the one struct for rows that are read and rows that are written.
  const simd::AnyRow z{const_cast<void*>(logits.const_data_ptr()), logits.scalar_type()};
  const int64_t few = std::min(steps, kManySteps - 1);
  const int64_t slices = (vocabulary + kSlice - 1) / kSlice, size = SliceScore::size(few);
  const auto parts = std::make_unique_for_overwrite<float[]>(batch * slices * size);
  const auto score_of = [&](int64_t b, int64_t slice) {
    return SliceScore{real[b], parts.get() + (b * slices + slice) * size};
  };
  run_chunks(batch * slices, grain(std::min(kSlice, vocabulary) * few), [&](int64_t begin, int64_t end) {
    const SliceScratch scratch(few);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / slices, start = task % slices * kSlice;
      if (real[b] == 0 || real[b] >= kManySteps) {
        continue;
      }
      const int64_t count = std::min(kSlice, vocabulary - start);
      simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
        simd::with_rows(
            [&](const auto& row) RAS_ALWAYS_INLINE {
              score_slice<kBytes>(row, step_stride, target + start, count, scratch, score_of(b, task % slices));
            },
            z.from(b * row_stride + start));
      });
    }
  });

  Tensor similarity = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  Tensor risk = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  float* similarity_data = similarity.mutable_data_ptr<float>();
  float* risk_data = risk.mutable_data_ptr<float>();
  for (int64_t b = 0; b < batch; ++b) {
    if (real[b] >= kManySteps) {
      similarity_data[b] =
          similarity_of_many({z.from(b * row_stride), step_stride, real[b], vocabulary, target, decay.data()});
    }
  }
  run_tasks(batch, grain(slices * size), [&](int64_t b) {
    const float s = real[b] == 0            ? 0.0f
                    : real[b] >= kManySteps ? similarity_data[b]
                                            : similarity_of(score_of(b, 0), slices, size, decay.data());
    const float exponent = static_cast<float>(alpha) * (s - static_cast<float>(s_base));
    similarity_data[b] = s;
    // Nothing judged, or a broken row: it is steered in full rather than passed.
    risk_data[b] = real[b] > 0 && !std::isnan(s) ? 1.0f / (1.0f + std::exp(-exponent)) : 1.0f;
  });
  return {similarity, risk};
}

}  // namespace ras::cpu
