// Dot products of up to 64 queries with a block of keys: scores[key][row] = k_key . q_row, unscaled.
//
// Lanes are rows: the queries of a tile are turned over once, into panels of sixteen rows, and then serve every key.
// Keys are read where they lie, one value broadcast at a time, so nothing of their size is ever packed; 16-bit keys are
// widened a block at a time. A sum runs over the head dimension in order in one accumulator, whatever block it is in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "score_amx.h"
#include "simd.h"
#include "simd_memory.h"

namespace ras::cpu {

constexpr int64_t kPanelRows = simd::kLanes;
constexpr int64_t kTileRows = 4 * kPanelRows;
constexpr int64_t kBlockKeys = 96;  // 96 x 64 scores are 24 KiB; a multiple of 32, the keys of an AMX step, and of 6

// The keys of one head.
template <class T>
struct Keys {
  const T* data;
  int64_t stride, width;

  const T* at(int64_t key) const { return data + key * stride; }
};

// Positions of the keys of a block: the `listed` ones, or `count` in a row from `first`.
struct KeyBlock {
  const int32_t* listed;
  int64_t first, count;

  int64_t operator[](int64_t i) const { return listed ? listed[i] : first + i; }
};

namespace panel {

// panels[p][i][lane] = query of row 16 p + lane; a last panel that is not full repeats its last row, which changes no
// maximum and needs no mask.
template <class T, class QueryAt>
RAS_INLINE void pack(const QueryAt& query_at, int64_t rows, int64_t width, float* panels) {
  const int64_t lanes = (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  for (int64_t row = 0; row < lanes; ++row) {
    const T* query = query_at(std::min(row, rows - 1));
    float* target = panels + row / kPanelRows * kPanelRows * width + row % kPanelRows;
    for (int64_t i = 0; i < width; ++i) {
      target[i * kPanelRows] = static_cast<float>(query[i]);
    }
  }
}

// The value at an address in every lane. GCC fills a register wider than the oldest machine's lane by lane when the
// code is inlined into a newer machine's copy, and here that is the innermost loop.
template <int kBytes>
RAS_INLINE simd::F32x16<kBytes> broadcast(const float* from) {
#if RAS_X86_LEVELS && !defined(__clang__)
  if constexpr (kBytes > 16) {
    simd::F32x16<kBytes> x;
    asm("vbroadcastss %1, %0" : "=v"(x.part[0]) : "m"(*from));
    for (int i = 1; i < simd::F32x16<kBytes>::kParts; ++i) {
      x.part[i] = x.part[0];
    }
    return x;
  }
#endif
  return simd::all<kBytes>(*from);
}

template <int kBytes, int kKeys, int kPanels>
RAS_INLINE void multiply(const float* const* keys, const float* panels, int64_t width, float* scores) {
  using V = simd::F32x16<kBytes>;
  const float* key[kKeys];
  V sum[kKeys][kPanels];
#pragma GCC unroll 8
  for (int s = 0; s < kKeys; ++s) {
    key[s] = keys[s];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      sum[s][p] = V{};
    }
  }
  const int64_t step = kPanelRows * width;
  for (int64_t i = 0; i < width; ++i) {
    V query[kPanels];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      query[p] = simd::load<kBytes>(panels + p * step + i * kPanelRows);
    }
#pragma GCC unroll 8
    for (int s = 0; s < kKeys; ++s) {
      const V value = broadcast<kBytes>(key[s] + i);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        sum[s][p] = sum[s][p] + query[p] * value;
      }
    }
  }
#pragma GCC unroll 8
  for (int s = 0; s < kKeys; ++s) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      simd::store(sum[s][p], scores + s * kTileRows + p * kPanelRows);
    }
  }
}

template <int kBytes, int kKeys, int kPanels>
RAS_INLINE void multiply_all(const float* const* keys, int64_t count, const float* panels, int64_t width,
                             float* scores) {
  int64_t s = 0;
  for (; s + kKeys <= count; s += kKeys) {
    multiply<kBytes, kKeys, kPanels>(keys + s, panels, width, scores + s * kTileRows);
  }
  for (; s < count; ++s) {
    multiply<kBytes, 1, kPanels>(keys + s, panels, width, scores + s * kTileRows);
  }
}

// As many accumulators as the machine has registers for, less those of the queries and the key.
template <int kBytes>
RAS_INLINE void multiply_panels(const float* const* keys, int64_t count, const float* panels, int64_t n_panels,
                                int64_t width, float* scores) {
  if constexpr (kBytes == 64) {
    switch (n_panels) {
      case 4:
        return multiply_all<kBytes, 6, 4>(keys, count, panels, width, scores);
      case 3:
        return multiply_all<kBytes, 8, 3>(keys, count, panels, width, scores);
      case 2:
        return multiply_all<kBytes, 8, 2>(keys, count, panels, width, scores);
      default:
        return multiply_all<kBytes, 8, 1>(keys, count, panels, width, scores);
    }
  } else {
    for (int64_t p = 0; p < n_panels; ++p) {
      multiply_all<kBytes, kBytes == 32 ? 6 : 2, 1>(keys, count, panels + p * kPanelRows * width, width,
                                                    scores + p * kPanelRows);
    }
  }
}

}  // namespace panel

// Memory of one thread for a tile's queries and, where they are not read in place, a block's keys.
template <class T>
struct TileMemory {
  static int64_t query_floats(int64_t width) { return kTileRows * amx::padded(width); }
  static int64_t key_floats(int64_t width) { return std::is_same_v<T, float> ? 0 : kBlockKeys * amx::padded(width); }

  float* queries;
  float* keys;
};

// The scores of one tile of rows. `query_at(row)` points to a row's query.
template <int kBytes, class T>
class ScoreTile {
 public:
  template <class QueryAt>
  RAS_INLINE ScoreTile(const QueryAt& query_at, int64_t rows, int64_t width, const TileMemory<T>& memory)
      : memory_(memory), panels_((rows + kPanelRows - 1) / kPanelRows) {
    if (amx::serves<T>()) {
      amx::pack(query_at, rows, width, reinterpret_cast<uint16_t*>(memory.queries));
    } else {
      panel::pack<T>(query_at, rows, width, memory.queries);
    }
  }

  int64_t panels() const { return panels_; }

  // scores[i * kTileRows + row] for the keys of the block, at most kBlockKeys.
  RAS_INLINE void multiply(const Keys<T>& keys, const KeyBlock& block, float* scores) const {
    if (amx::serves<T>()) {
      return amx_multiply(keys, block, scores);
    }
    const float* at[kBlockKeys];
    for (int64_t i = 0; i < block.count; ++i) {
      if constexpr (std::is_same_v<T, float>) {
        at[i] = keys.at(block[i]);
      } else {
        float* wide = memory_.keys + i * keys.width;
        widen(keys.at(block[i]), keys.width, wide);
        at[i] = wide;
      }
    }
    panel::multiply_panels<kBytes>(at, block.count, memory_.queries, panels_, keys.width, scores);
  }

 private:
  static RAS_INLINE void widen(const T* from, int64_t width, float* to) {
    int64_t i = 0;
    for (; i + simd::kLanes <= width; i += simd::kLanes) {
      simd::store(simd::load<kBytes>(from + i), to + i);
    }
    for (; i < width; ++i) {
      to[i] = static_cast<float>(from[i]);
    }
  }

  // Full steps of neighbouring keys are read in place; the rest is gathered and padded with zeros.
  RAS_INLINE void amx_multiply(const Keys<T>& keys, const KeyBlock& block, float* scores) const {
    const auto* queries = reinterpret_cast<const uint16_t*>(memory_.queries);
    const int64_t padded = amx::padded(keys.width);
    auto* gathered = reinterpret_cast<T*>(memory_.keys);
    for (int64_t i = 0; i < block.count; i += amx::kKeys) {
      const int64_t count = std::min(amx::kKeys, block.count - i);
      const T* from = keys.at(block[i]);
      int64_t stride = keys.stride;
      const bool in_place = count == amx::kKeys && padded == keys.width && block[i + count - 1] - block[i] == count - 1;
      if (!in_place) {
        std::memset(gathered, 0, amx::kKeys * padded * sizeof(T));
        for (int64_t s = 0; s < count; ++s) {
          std::memcpy(gathered + s * padded, keys.at(block[i + s]), keys.width * sizeof(T));
        }
        from = gathered;
        stride = padded;
      }
      amx::multiply(from, stride * static_cast<int64_t>(sizeof(T)), queries, panels_, padded, scores + i * kTileRows,
                    kTileRows * static_cast<int64_t>(sizeof(float)));
    }
  }

  TileMemory<T> memory_;
  int64_t panels_;
};

}  // namespace ras::cpu
