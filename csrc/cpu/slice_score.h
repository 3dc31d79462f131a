// What one slice of the vocabulary contributes to risk_score, and how slices are merged.
//
// For every step n: M_n, the largest logit, and the sum of e_n = exp(z_n - M_n); and the products <a, b> of all pairs
// among e_0, ..., e_(steps-1) and the prototype t. That is everything the cosine of a mixture of softmaxes needs, and
// merging two slices only rescales by exp(M_n - M'_n).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "row_access.h"
#include "simd_exp.h"

namespace ras::cpu {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Where a slice's results lie in its floats. Row `steps` of the products is the prototype.
struct SliceScore {
  int64_t steps;
  float* data;

  static int64_t size(int64_t steps) { return 2 * steps + pairs(steps); }
  static int64_t pairs(int64_t steps) { return (steps + 1) * (steps + 2) / 2; }
  int64_t pair(int64_t n, int64_t m) const { return n * (steps + 1) - n * (n - 1) / 2 + (m - n); }  // n <= m
  float& max(int64_t n) const { return data[n]; }
  float& sum(int64_t n) const { return data[steps + n]; }
  float& product(int64_t n, int64_t m) const { return data[2 * steps + pair(n, m)]; }
};

// Memory of one thread: a tile of every e_n and of the prototype, and sixteen running sums for each result.
class SliceScratch {
 public:
  static constexpr int64_t kTile = 512;  // four rows of it fill a quarter of the first-level cache

  explicit SliceScratch(int64_t steps)
      : steps_(steps), sums_(steps + SliceScore::pairs(steps)), lanes_(new Lanes[(steps + 1) * kTileLanes + sums_]) {}

  float* row(int64_t n) const { return lanes_[n * kTileLanes].value; }
  // In the order of SliceScore: the sums, then the products.
  float* sum(int64_t i) const { return lanes_[(steps_ + 1) * kTileLanes + i].value; }
  void clear() const { std::memset(sum(0), 0, sums_ * sizeof(Lanes)); }

 private:
  struct alignas(64) Lanes {
    float value[simd::kLanes];
  };
  static constexpr int64_t kTileLanes = kTile / simd::kLanes;
  int64_t steps_, sums_;
  std::unique_ptr<Lanes[]> lanes_;
};

// sums[g] += row . others[g] for kGroup neighbouring rows, sixteen lanes each; `vectors` times sixteen elements.
template <int kBytes, int kGroup>
RAS_INLINE void add_products(const float* row, const float* others, int64_t vectors, float* sums) {
  using simd::kLanes;
  simd::F32x16<kBytes> even[kGroup], odd[kGroup];
  for (int g = 0; g < kGroup; ++g) {
    even[g] = simd::load<kBytes>(sums + g * kLanes);
    odd[g] = {};
  }
  const auto add = [&](simd::F32x16<kBytes>* to, int64_t i) RAS_ALWAYS_INLINE {
    const auto x = simd::load<kBytes>(row + i * kLanes);
    for (int g = 0; g < kGroup; ++g) {
      to[g] += x * simd::load<kBytes>(others + g * SliceScratch::kTile + i * kLanes);
    }
  };
  int64_t i = 0;
  for (; i + 2 <= vectors; i += 2) {
    add(even, i);
    add(odd, i + 1);
  }
  if (i < vectors) {
    add(even, i);
  }
  for (int g = 0; g < kGroup; ++g) {
    simd::store(even[g] + odd[g], sums + g * kLanes);
  }
}

// Adds the products of all pairs of rows over a tile of `columns`, whose last sixteen are filled up with zeros.
template <int kBytes>
RAS_INLINE void add_pairs(const SliceScratch& scratch, const SliceScore& score, int64_t columns) {
  const int64_t vectors = (columns + simd::kLanes - 1) / simd::kLanes;
  for (int64_t n = 0; n <= score.steps; ++n) {
    int64_t m = n;
    for (; m + 4 <= score.steps + 1; m += 4) {
      add_products<kBytes, 4>(scratch.row(n), scratch.row(m), vectors, scratch.sum(score.steps + score.pair(n, m)));
    }
    float* sums = scratch.sum(score.steps + score.pair(n, m));
    switch (score.steps + 1 - m) {
      case 3:
        add_products<kBytes, 3>(scratch.row(n), scratch.row(m), vectors, sums);
        break;
      case 2:
        add_products<kBytes, 2>(scratch.row(n), scratch.row(m), vectors, sums);
        break;
      case 1:
        add_products<kBytes, 1>(scratch.row(n), scratch.row(m), vectors, sums);
        break;
      default:
        break;
    }
  }
}

// The largest of `count` logits; a NaN among them may hide larger ones, and shows up in the sum of exponentials.
template <int kBytes, class T>
RAS_INLINE float largest(const simd::Row<T>& logits, int64_t count) {
  simd::F32x16<kBytes> top[4];
  for (auto& part : top) {
    part = simd::all<kBytes>(-kInfinity);
  }
  simd::for_each_sixteen(count, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
    top[k] = simd::larger(top[k], logits.template load<kBytes>(i, part, T(-kInfinity)));
  });
  return simd::max(simd::larger(simd::larger(top[0], top[1]), simd::larger(top[2], top[3])));
}

// What is taken off the logits of a slice: where every one is -inf, or a NaN has displaced the largest, nothing.
inline float shift_of(float max) {
  return std::isfinite(max) || max > 0 ? max : 0.0f;
}

template <int kBytes>
RAS_INLINE void load_target(const float* target, int64_t columns, float* row) {
  simd::for_each_sixteen(columns, [&](int64_t i, auto part, int) RAS_ALWAYS_INLINE {
    simd::store(simd::Row<const float>{target}.load<kBytes>(i, part), row + i);
  });
}

template <int kBytes>
RAS_INLINE void fold_sums(const SliceScratch& scratch, const SliceScore& score) {
  const int64_t sums = score.steps + SliceScore::pairs(score.steps);
  for (int64_t i = 0; i < sums; ++i) {
    score.data[score.steps + i] = simd::sum(simd::load<kBytes>(scratch.sum(i)));
  }
}

// Scores `count` columns of score.steps rows of logits that lie `stride` apart.
template <int kBytes, class T>
RAS_INLINE void score_slice(const simd::Row<T>& logits, int64_t stride, const float* target, int64_t count,
                            const SliceScratch& scratch, const SliceScore& score) {
  for (int64_t n = 0; n < score.steps; ++n) {
    score.max(n) = largest<kBytes>(logits.from(n * stride), count);
  }
  scratch.clear();
  for (int64_t start = 0; start < count; start += SliceScratch::kTile) {
    const int64_t columns = std::min(SliceScratch::kTile, count - start);
    for (int64_t n = 0; n < score.steps; ++n) {
      const simd::Row<T> row = logits.from(n * stride + start);
      float* e = scratch.row(n);
      const auto shift = simd::all<kBytes>(shift_of(score.max(n)));
      simd::Sums<kBytes> sums;
      simd::for_each_sixteen(columns, [&](int64_t i, auto part, int k) RAS_ALWAYS_INLINE {
        const auto value = simd::exp(row.template load<kBytes>(i, part, T(-kInfinity)) - shift);
        simd::store(value, e + i);
        sums.part[k] += value;
      });
      const auto tile = (sums.part[0] + sums.part[1]) + (sums.part[2] + sums.part[3]);
      simd::store(simd::load<kBytes>(scratch.sum(n)) + tile, scratch.sum(n));
    }
    load_target<kBytes>(target + start, columns, scratch.row(score.steps));
    add_pairs<kBytes>(scratch, score, columns);
  }
  fold_sums<kBytes>(scratch, score);
}

}  // namespace ras::cpu
