// What a tile of text rows makes of its scores: the log-sum-exp L of each row over the keys it sees, block by block,
// and the peak of each visual key, max over rows of (scale * score - L).
//
// Scores lie as scores[key][row]. Row r sees keys below past[r]; keys below `open` are seen by every row of the tile
// and need no mask. A NaN is never lost: it stays in the sum of exponentials and wins every maximum of the peaks.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "score_tile.h"
#include "simd.h"
#include "simd_exp.h"
#include "simd_memory.h"

namespace ras::cpu {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The rows of a tile that count and see a key; lanes past the last repeat it.
struct TextRows {
  int64_t count = 0, open = 0, past = 0;  // past: of the row that sees furthest
  int32_t row[kTileRows];
  alignas(64) int32_t row_past[kTileRows];
  alignas(64) float lse[kTileRows];

  int64_t panels() const { return (count + kPanelRows - 1) / kPanelRows; }
};

namespace lanes {

// Where a row does not see `key`, `hidden` instead of x.
template <int kBytes>
RAS_INLINE simd::F32x16<kBytes> seen(const simd::F32x16<kBytes>& x, const int32_t* row_past, int64_t key,
                                     float hidden) {
  using R = simd::Register<kBytes>;
  simd::F32x16<kBytes> result;
#pragma GCC unroll 4
  for (int i = 0; i < simd::F32x16<kBytes>::kParts; ++i) {
    typename R::I32 past;
    std::memcpy(&past, row_past + i * R::kLanes, kBytes);
    result.part[i] = past > static_cast<int32_t>(key) ? x.part[i] : typename R::F32{} + hidden;
  }
  return result;
}

// The larger, where a NaN wins.
template <class F32>
RAS_INLINE F32 larger(F32 a, F32 b) {
  const F32 top = b > a ? b : a;
  return b == b ? top : b;
}

// Sixteen running maxima in which a NaN wins. It is kept apart: GCC works out a condition on two comparisons lane by
// lane.
template <int kBytes>
struct Peak {
  simd::F32x16<kBytes> top = simd::all<kBytes>(-kInfinity), broken = {};

  RAS_INLINE void raise(const simd::F32x16<kBytes>& x) {
    top = simd::each([](auto t, auto v) RAS_ALWAYS_INLINE { return v > t ? v : t; }, top, x);
    broken = simd::each([](auto n, auto v) RAS_ALWAYS_INLINE { return v == v ? n : v; }, broken, x);
  }

  RAS_INLINE simd::F32x16<kBytes> value() const {
    return simd::each([](auto n, auto t) RAS_ALWAYS_INLINE { return n == n ? t : n; }, broken, top);
  }
};

// The largest of sixteen lanes, where a NaN wins; in registers of four lanes, which every machine has.
template <int kBytes>
RAS_INLINE float largest(const simd::F32x16<kBytes>& x) {
  using F32 = simd::Register<16>::F32;
  alignas(64) float all[simd::kLanes];
  simd::store(x, all);
  F32 quarter[4];
  std::memcpy(quarter, all, sizeof(quarter));
  const F32 top = larger(larger(quarter[0], quarter[1]), larger(quarter[2], quarter[3]));
  const F32 half = larger(top, F32{top[2], top[3], top[2], top[3]});
  return larger(half, F32{half[1], half[1], half[1], half[1]})[0];
}

}  // namespace lanes

// Sum of exponentials of every row so far, shifted by the largest score so far.
class RunningSum {
 public:
  RunningSum() {
    for (int64_t row = 0; row < kTileRows; ++row) {
      max_[row] = -kInfinity;
      sum_[row] = 0.0f;
    }
  }

  // Takes in a block of neighbouring keys; leaves the scores scaled and hidden ones at -inf.
  template <int kBytes>
  RAS_INLINE void add(float* scores, const KeyBlock& block, const TextRows& rows, float scale) {
    if (block.first + block.count <= rows.open) {
      add_panels<kBytes, false>(scores, block, rows, scale);
    } else {
      add_panels<kBytes, true>(scores, block, rows, scale);
    }
  }

  void log(float* lse, int64_t rows) const {
    for (int64_t row = 0; row < rows; ++row) {
      lse[row] = max_[row] + std::log(sum_[row]);
    }
  }

 private:
  template <int kBytes, bool kMasked>
  RAS_INLINE void add_panels(float* scores, const KeyBlock& block, const TextRows& rows, float scale) {
    using V = simd::F32x16<kBytes>;
    const V scales = simd::all<kBytes>(scale);
    for (int64_t p = 0; p < rows.panels(); ++p) {
      float* column = scores + p * kPanelRows;
      const V before = simd::load<kBytes>(max_ + p * kPanelRows);
      V top = before;
      for (int64_t i = 0; i < block.count; ++i) {
        V x = simd::load<kBytes>(column + i * kTileRows) * scales;
        if constexpr (kMasked) {
          x = lanes::seen(x, rows.row_past + p * kPanelRows, block.first + i, -kInfinity);
        }
        simd::store(x, column + i * kTileRows);
        top = simd::larger(top, x);
      }
      // While every score is -inf nothing is shifted, so that -inf - -inf does not break the row.
      const V nothing = simd::all<kBytes>(-kInfinity), zero = simd::all<kBytes>(0.0f);
      const V shift = if_equal(top, nothing, zero, top);
      V total = simd::load<kBytes>(sum_ + p * kPanelRows);
      total = if_equal(before, nothing, total, total * simd::exp(before - shift));
      for (int64_t i = 0; i < block.count; ++i) {
        total += simd::exp(simd::load<kBytes>(column + i * kTileRows) - shift);
      }
      simd::store(top, max_ + p * kPanelRows);
      simd::store(total, sum_ + p * kPanelRows);
    }
  }

  template <int kBytes>
  static RAS_INLINE simd::F32x16<kBytes> if_equal(const simd::F32x16<kBytes>& a, const simd::F32x16<kBytes>& b,
                                                  const simd::F32x16<kBytes>& then,
                                                  const simd::F32x16<kBytes>& otherwise) {
    return simd::each([](auto x, auto y, auto p, auto q) RAS_ALWAYS_INLINE { return x == y ? p : q; }, a, b, then,
                      otherwise);
  }

  alignas(64) float max_[kTileRows];
  alignas(64) float sum_[kTileRows];
};

// peak[i] = max over rows that see key i of the block (scale * score - lse), -inf where none does.
template <int kBytes>
RAS_INLINE void find_peaks(const float* scores, const KeyBlock& block, const TextRows& rows, float scale, float* peak) {
  using V = simd::F32x16<kBytes>;
  const V scales = simd::all<kBytes>(scale);
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t key = block[i];
    lanes::Peak<kBytes> top;
    for (int64_t p = 0; p < rows.panels(); ++p) {
      const int64_t lane = p * kPanelRows;
      V x = simd::load<kBytes>(scores + i * kTileRows + lane) * scales - simd::load<kBytes>(rows.lse + lane);
      if (key >= rows.open) {
        x = lanes::seen(x, rows.row_past + lane, key, -kInfinity);
      }
      top.raise(x);
    }
    peak[i] = lanes::largest(top.value());
  }
}

}  // namespace ras::cpu
