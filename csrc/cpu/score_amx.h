// The same products for bf16 on x86 machines with matrix tiles (AMX): 32 keys x 32 rows at a time, sixteen times the
// multiplications of f32. Products of bf16 are exact in f32 and summed in f32, as after widening; subnormal numbers
// count as 0. Keys are the left operand as they lie in memory; queries the right one, two neighbouring values together.
#pragma once

#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simd.h"

#if RAS_X86_LEVELS && defined(__linux__)
#define RAS_AMX 1
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ras::cpu::amx {

constexpr int64_t kKeys = 32;   // of one step
constexpr int64_t kDepth = 32;  // bf16 values in a row of a tile
constexpr int64_t kPanel = 16;  // rows (queries) of a tile

// Head dimension, filled up with zeros.
inline int64_t padded(int64_t width) {
  return (width + kDepth - 1) / kDepth * kDepth;
}

#ifdef RAS_AMX

// Whether the machine has tiles for bf16 and the system lets this process use them: Linux wants to be asked, once.
inline bool usable() {
  static const bool answer = [] {
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a = 0, b = 0, c = 0, d = 0;
    return simd::best_isa() == simd::Isa::kV4 && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & (kBf16 | kTile)) == (kBf16 | kTile) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return answer;
}

#define RAS_TILES __attribute__((target("amx-tile,amx-bf16")))

// GCC's tile intrinsics do not say that they read memory: whatever they shall see must be written before this.
RAS_INLINE void settle_memory(const void* data) {
  asm volatile("" : : "r"(data) : "memory");
}

// All eight tiles are 16 rows of 64 bytes.
RAS_TILES inline void configure() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  settle_memory(&config);
  _tile_loadconfig(&config);
}

RAS_TILES inline void release() {
  _tile_release();
}

// scores[key][row] of 32 keys with the rows of `panels` panels; strides in bytes.
RAS_TILES inline void multiply(const void* keys, int64_t key_stride, const uint16_t* queries, int64_t panels,
                               int64_t depth, float* scores, int64_t score_stride) {
  settle_memory(keys);
  settle_memory(queries);
  const auto* low = static_cast<const char*>(keys);
  const char* high = low + kPanel * key_stride;
  auto* out_low = reinterpret_cast<char*>(scores);
  char* out_high = out_low + kPanel * score_stride;
  constexpr int64_t kRowBytes = 64;
  int64_t p = 0;
  for (; p + 2 <= panels; p += 2) {
    const uint16_t* left = queries + p * kPanel * depth;
    const uint16_t* right = left + kPanel * depth;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < depth; i += kDepth) {
      _tile_loadd(4, low + 2 * i, key_stride);
      _tile_loadd(6, left + kPanel * i, kRowBytes);
      _tile_loadd(5, high + 2 * i, key_stride);
      _tile_loadd(7, right + kPanel * i, kRowBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out_low + 4 * p * kPanel, score_stride);
    _tile_stored(1, out_low + 4 * (p + 1) * kPanel, score_stride);
    _tile_stored(2, out_high + 4 * p * kPanel, score_stride);
    _tile_stored(3, out_high + 4 * (p + 1) * kPanel, score_stride);
  }
  if (p < panels) {
    const uint16_t* left = queries + p * kPanel * depth;
    _tile_zero(0);
    _tile_zero(2);
    for (int64_t i = 0; i < depth; i += kDepth) {
      _tile_loadd(4, low + 2 * i, key_stride);
      _tile_loadd(6, left + kPanel * i, kRowBytes);
      _tile_loadd(5, high + 2 * i, key_stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, out_low + 4 * p * kPanel, score_stride);
    _tile_stored(2, out_high + 4 * p * kPanel, score_stride);
  }
}

#undef RAS_TILES

#else

inline bool usable() {
  return false;
}
inline void configure() {}
inline void release() {}
inline void multiply(const void*, int64_t, const uint16_t*, int64_t, int64_t, float*, int64_t) {}

#endif

template <class T>
RAS_INLINE bool serves() {
  return std::is_same_v<T, torch::headeronly::BFloat16> && usable();
}

// A thread's tiles are set up while this lives.
template <class T>
class Tiles {
 public:
  Tiles() {
    if (serves<T>()) {
      configure();
    }
  }
  ~Tiles() {
    if (serves<T>()) {
      release();
    }
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// queries[p][i / 2][lane][i % 2] = value i of row 16 p + lane, zero past the width; a last panel that is not full
// repeats its last row.
template <class QueryAt>
RAS_INLINE void pack(const QueryAt& query_at, int64_t rows, int64_t width, uint16_t* queries) {
  const int64_t depth = padded(width), lanes = (rows + kPanel - 1) / kPanel * kPanel;
  for (int64_t row = 0; row < lanes; ++row) {
    const auto* query = reinterpret_cast<const char*>(query_at(std::min(row, rows - 1)));
    uint16_t* target = queries + row / kPanel * kPanel * depth + row % kPanel * 2;
    int64_t i = 0;
    for (; i + 2 <= width; i += 2) {
      std::memcpy(target + i * kPanel, query + 2 * i, 4);
    }
    for (; i < depth; i += 2) {
      const uint16_t zeros[2] = {};
      std::memcpy(target + i * kPanel, zeros, 4);
      std::memcpy(target + i * kPanel, query + 2 * i, i < width ? 2 : 0);
    }
  }
}

}  // namespace ras::cpu::amx
