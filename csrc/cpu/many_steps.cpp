// risk_score for many steps, in two sweeps over slices of the vocabulary that are merged in their order; see
// many_steps.h. The weights of the mixture are known in the second, so nothing grows with the square of the steps.
#include "many_steps.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "slice_score.h"

namespace ras::cpu {
namespace {

struct Exponentials {
  float max, sum;
};

template <int kBytes, class T>
RAS_INLINE Exponentials sum_slice(const simd::Row<T>& logits, int64_t count) {
  const float max = largest<kBytes>(logits, count);
  const auto shift = simd::all<kBytes>(shift_of(max));
  simd::Sums<kBytes> sums;
  simd::for_each_sixteen(count, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
    sums.part[k] += simd::exp(logits.template load<kBytes>(i, part, T(-kInfinity)) - shift);
  });
  return {max, sums.total()};
}

// Products of the mixture sum_n weight_n exp(z_n - max_n) and the target, as a score of one step holds them.
template <int kBytes, class T>
RAS_INLINE void mix_slice(const simd::Row<T>& logits, const ScoreRow& row, int64_t first, int64_t count,
                          const Exponentials* weights, const SliceScratch& scratch, const SliceScore& score) {
  scratch.clear();
  for (int64_t start = 0; start < count; start += SliceScratch::kTile) {
    const int64_t columns = std::min(SliceScratch::kTile, count - start);
    float* mixture = scratch.row(0);
    std::fill_n(mixture, SliceScratch::kTile, 0.0f);
    for (int64_t n = 0; n < row.steps; ++n) {
      const simd::Row<T> step = logits.from(n * row.step_stride + first + start);
      const auto shift = simd::all<kBytes>(weights[n].max), weight = simd::all<kBytes>(weights[n].sum);
      simd::for_each_sixteen(columns, [&](int64_t i, auto part, int) RAS_ALWAYS_INLINE {
        const auto e = simd::exp(step.template load<kBytes>(i, part, T(-kInfinity)) - shift);
        simd::store(simd::load<kBytes>(mixture + i) + weight * e, mixture + i);
      });
    }
    load_target<kBytes>(row.target + first + start, columns, scratch.row(1));
    add_pairs<kBytes>(scratch, score, columns);
  }
  fold_sums<kBytes>(scratch, score);
}

}  // namespace

float similarity_of_many(const ScoreRow& row) {
  const int64_t slices = (row.vocabulary + kSlice - 1) / kSlice, steps = row.steps;
  const auto in_slice = [&](int64_t slice) { return std::min(kSlice, row.vocabulary - slice * kSlice); };
  std::vector<Exponentials> parts(steps * slices), weights(steps);
  run_tasks(steps * slices, grain(in_slice(0)), [&](int64_t task) {
    const int64_t slice = task % slices, offset = task / slices * row.step_stride + slice * kSlice;
    simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
      simd::with_rows([&](const auto& logits)
                          RAS_ALWAYS_INLINE { parts[task] = sum_slice<kBytes>(logits, in_slice(slice)); },
                      row.logits.from(offset));
    });
  });
  for (int64_t n = 0; n < steps; ++n) {
    float max = -kInfinity, sum = 0;
    const Exponentials* slice = parts.data() + n * slices;
    for (int64_t i = 0; i < slices; ++i) {
      max = std::max(max, slice[i].max);
    }
    for (int64_t i = 0; i < slices; ++i) {
      sum += slice[i].sum * rescaling(slice[i].max, max);
    }
    weights[n] = {shift_of(max), row.decay[n] / sum};
  }

  const int64_t size = SliceScore::size(1);
  std::vector<float> mixed(slices * size);
  run_chunks(slices, grain(in_slice(0) * steps), [&](int64_t begin, int64_t end) {
    const SliceScratch scratch(1);
    for (int64_t slice = begin; slice < end; ++slice) {
      const SliceScore score{1, mixed.data() + slice * size};
      simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
        simd::with_rows(
            [&](const auto& logits) RAS_ALWAYS_INLINE {
              mix_slice<kBytes>(logits, row, slice * kSlice, in_slice(slice), weights.data(), scratch, score);
            },
            row.logits);
      });
    }
  });
  float dot = 0, square = 0, target_square = 0;
  for (int64_t slice = 0; slice < slices; ++slice) {
    const SliceScore score{1, mixed.data() + slice * size};
    square += score.product(0, 0);
    dot += score.product(0, 1);
    target_square += score.product(1, 1);
  }
  return cosine_of(dot, square, target_square);
}

}  // namespace ras::cpu
