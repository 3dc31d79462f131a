// Rows in memory as the kernels walk them: sixteen elements at a time, the last ones as a tail, four sums at once.
#pragma once

#include "../check.h"
#include "simd_memory.h"

namespace ras::simd {

// Which of sixteen lanes are elements: all of them, or the first `count`.
struct Whole {};
struct Tail {
  int64_t count;
};

// Elements of a type known to the compiler. `U` may be const.
template <class U>
struct Row {
  using T = std::remove_const_t<U>;
  U* data;

  RAS_INLINE Row from(int64_t offset) const { return {data + offset}; }

  template <int kBytes>
  RAS_INLINE F32x16<kBytes> load(int64_t i, Whole, T = T()) const {
    return simd::load<kBytes>(data + i);
  }
  template <int kBytes>
  RAS_INLINE F32x16<kBytes> load(int64_t i, Tail tail, T fill = T()) const {
    return load_tail<kBytes>(data + i, tail.count, fill);
  }
  template <int kBytes>
  RAS_INLINE void store(int64_t i, Whole, const F32x16<kBytes>& x) const {
    simd::store(x, data + i);
  }
  template <int kBytes>
  RAS_INLINE void store(int64_t i, Tail tail, const F32x16<kBytes>& x) const {
    store_tail(x, data + i, tail.count);
  }
};

// Elements of a type looked up for every sixteen of them: serves arguments of mixed types without a copy of the kernel
// for each of their combinations.
struct AnyRow {
  void* data;
  ScalarType type;

  AnyRow from(int64_t offset) const {
    const int64_t bytes = type == ScalarType::Float ? 4 : 2;
    return {static_cast<char*>(data) + offset * bytes, type};
  }

  template <class T>
  RAS_INLINE Row<T> as() const {
    return {static_cast<T*>(data)};
  }

  template <int kBytes, class Part>
  RAS_INLINE F32x16<kBytes> load(int64_t i, Part part) const {
    switch (type) {
      case ScalarType::Float:
        return as<float>().load<kBytes>(i, part);
      case ScalarType::Half:
        return as<Half>().load<kBytes>(i, part);
      default:
        return as<BFloat16>().load<kBytes>(i, part);
    }
  }
  template <int kBytes, class Part>
  RAS_INLINE void store(int64_t i, Part part, const F32x16<kBytes>& x) const {
    switch (type) {
      case ScalarType::Float:
        return as<float>().store(i, part, x);
      case ScalarType::Half:
        return as<Half>().store(i, part, x);
      default:
        return as<BFloat16>().store(i, part, x);
    }
  }
};

// run(rows...) with the rows' one type known to the compiler where they have only one, and as they are otherwise. The
// type is one of the three, as the op's contract has checked.
template <class Run, class... Rows>
RAS_INLINE void with_rows(const Run& run, const AnyRow& first, const Rows&... more) {
  if constexpr (sizeof...(more) > 0) {
    if (!((more.type == first.type) && ...)) {
      return run(first, more...);
    }
  }
  switch (first.type) {
    case ScalarType::Float:
      return run(first.as<float>(), more.template as<float>()...);
    case ScalarType::Half:
      return run(first.as<Half>(), more.template as<Half>()...);
    default:
      return run(first.as<BFloat16>(), more.template as<BFloat16>()...);
  }
}

// body(i, Whole or Tail, k) for every sixteen elements from i on; k = 0..3 says which of four running sums is next, so
// that a sum does not wait for the one before it.
template <class Body>
RAS_INLINE void for_each_sixteen(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    body(i, Whole{}, 0);
    body(i + kLanes, Whole{}, 1);
    body(i + 2 * kLanes, Whole{}, 2);
    body(i + 3 * kLanes, Whole{}, 3);
  }
  for (; i + kLanes <= count; i += kLanes) {
    body(i, Whole{}, 0);
  }
  if (i < count) {
    body(i, Tail{count - i}, 1);
  }
}

// Four running sums of sixteen lanes, folded in a fixed order.
template <int kBytes>
struct Sums {
  F32x16<kBytes> part[4] = {};

  RAS_INLINE float total() const { return sum((part[0] + part[1]) + (part[2] + part[3])); }
};

}  // namespace ras::simd
