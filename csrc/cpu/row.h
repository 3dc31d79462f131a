// Rows of any floating type, read and written as f32: a block at a time is widened into a buffer that stays in the
// first-level cache, worked on in f32, and narrowed back with round-to-nearest-even.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <cstring>

#include "../check.h"

namespace ras {

constexpr int64_t kBlock = 1024;

template <class T>
void widen_as(const void* source, int64_t offset, int64_t count, float* target) {
  const T* from = static_cast<const T*>(source) + offset;
  for (int64_t i = 0; i < count; ++i) {
    target[i] = static_cast<float>(from[i]);
  }
}

template <class T>
void narrow_as(const float* source, int64_t count, void* target, int64_t offset) {
  T* to = static_cast<T*>(target) + offset;
  for (int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<T>(source[i]);
  }
}

// Elements [offset, offset + count) of `source` as f32. The type was checked by the op's contract.
inline void widen(const void* source, ScalarType type, int64_t offset, int64_t count, float* target) {
  if (type == ScalarType::Float) {
    std::memcpy(target, static_cast<const float*>(source) + offset, count * sizeof(float));
  } else if (type == ScalarType::Half) {
    widen_as<torch::headeronly::Half>(source, offset, count, target);
  } else {
    widen_as<torch::headeronly::BFloat16>(source, offset, count, target);
  }
}

inline void narrow(const float* source, int64_t count, void* target, ScalarType type, int64_t offset) {
  if (type == ScalarType::Float) {
    std::memcpy(static_cast<float*>(target) + offset, source, count * sizeof(float));
  } else if (type == ScalarType::Half) {
    narrow_as<torch::headeronly::Half>(source, count, target, offset);
  } else {
    narrow_as<torch::headeronly::BFloat16>(source, count, target, offset);
  }
}

// Sum over a block with sixteen running sums: the compiler can use vector registers without reordering anything, so
// the result does not depend on the machine, and the rounding error grows with count / 16.
class LaneSum {
 public:
  template <class Term>
  void add(int64_t count, Term term) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        sums_[lane] += term(i + lane);
      }
    }
    for (int64_t lane = 0; i < count; ++i, ++lane) {
      sums_[lane] += term(i);
    }
  }

  float total() const {
    float folded[kLanes];
    std::memcpy(folded, sums_, sizeof(folded));
    for (int64_t width = kLanes / 2; width > 0; width /= 2) {
      for (int64_t lane = 0; lane < width; ++lane) {
        folded[lane] += folded[lane + width];
      }
    }
    return folded[0];
  }

 private:
  static constexpr int64_t kLanes = 16;
  float sums_[kLanes] = {};
};

inline float dot(const float* a, const float* b, int64_t count) {
  LaneSum sum;
  sum.add(count, [&](int64_t i) { return a[i] * b[i]; });
  return sum.total();
}

}  // namespace ras
