// One tile of scores C = A B^T, a block of four warps: A (resident rows) stays in shared memory, B (streamed rows)
// comes by. Sixteen-bit types use the tensor cores; f32, whose tolerance they would lose, plain multiply-adds in the
// same register layout, so that all that follows is written once.
//
// Warp w holds rows 16 kTall w ... of A. In its fragment c[m][n][i], lane 4 g + p has row 16 m + g + 8 (i / 2) of these
// and streamed row 8 n + 2 p + i % 2. Chunks of 16 bytes are swizzled by the row, so that the eight rows a matrix load
// touches lie in different banks.
#pragma once

#include "attention_peak_plan.h"
#include "vector.cuh"

namespace ras {

template <class T>
struct ScoreTile {
  static constexpr int kResident = tile_shape(sizeof(T)).resident, kStreamed = tile_shape(sizeof(T)).streamed;
  static constexpr int kTall = kResident / 64, kWide = kStreamed / 8;
  using Fragment = float[kTall][kWide][4];
};

template <class T>
__device__ inline T* swizzled(T* tile, int64_t padded, int row, int chunk) {
  return tile + row * padded + (chunk ^ (row & 7)) * kPerVector<T>;
}

// Brings `rows` rows of `width` elements into a tile; row_at(i) is where row i lies, or null for a row of zeros.
// Behind the width come zeros up to a multiple of 16. Asynchronous where addresses allow it.
template <class T, class RowAt>
__device__ void load_tile(T* tile, int rows, int64_t width, bool aligned, RowAt row_at) {
  const int64_t padded = padded_width(width);
  const int chunks = static_cast<int>((width + 15) / 16 * 16 / kPerVector<T>);
  for (int i = threadIdx.x; i < rows * chunks; i += kScoreTileThreads) {
    const int row = i / chunks, chunk = i % chunks;
    T* to = swizzled(tile, padded, row, chunk);
    const T* from = row_at(row);
    const int64_t left = from ? width - chunk * kPerVector<T> : 0;
    if (aligned && left > 0) {
      copy_16_async(to, from + chunk * kPerVector<T>, left < kPerVector<T> ? static_cast<int>(left * sizeof(T)) : 16);
    } else {
      *reinterpret_cast<Vector<T>*>(to) = load_vector(from ? from + chunk * kPerVector<T> : nullptr, left, false, 0.0f);
    }
  }
}

// c = the warp's scores.
template <class T>
__device__ void multiply_tile(typename ScoreTile<T>::Fragment& c, const T* resident, const T* streamed, int64_t width) {
  using Tile = ScoreTile<T>;
  const int64_t padded = padded_width(width);
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 * Tile::kTall;
#pragma unroll
  for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
    for (int n = 0; n < Tile::kWide; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        c[m][n][i] = 0;
      }
    }
  }
  if constexpr (sizeof(T) == 2) {
    const int steps = static_cast<int>((width + 15) / 16);
    for (int k = 0; k < steps; ++k) {
      uint32_t a[Tile::kTall][4];
#pragma unroll
      for (int m = 0; m < Tile::kTall; ++m) {
        load_matrices(a[m], swizzled(resident, padded, first + 16 * m + lane % 16, 2 * k + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < Tile::kWide; n += 2) {
        uint32_t pair[4];
        load_matrices(pair, swizzled(streamed, padded, 8 * n + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
        const uint32_t b[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
        for (int m = 0; m < Tile::kTall; ++m) {
          multiply_accumulate<T>(c[m][n], a[m], b[0]);
          multiply_accumulate<T>(c[m][n + 1], a[m], b[1]);
        }
      }
    }
  } else {
    static_assert(Tile::kTall == 1);
    const int chunks = static_cast<int>((width + 3) / 4);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      Vector<T> a[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        a[half] = *reinterpret_cast<const Vector<T>*>(swizzled(resident, padded, first + lane / 4 + 8 * half, chunk));
      }
#pragma unroll
      for (int n = 0; n < Tile::kWide; ++n) {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          const auto b =
              *reinterpret_cast<const Vector<T>*>(swizzled(streamed, padded, 8 * n + 2 * (lane % 4) + side, chunk));
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            c[0][n][side] = fmaf(a[0].value[i], b.value[i], c[0][n][side]);
            c[0][n][2 + side] = fmaf(a[1].value[i], b.value[i], c[0][n][2 + side]);
          }
        }
      }
    }
  }
}

// Streams `tiles` tiles past the resident one. load(i, buffer) brings tile i into a buffer, use(i, buffer) works on it;
// both by the whole block. The resident tile's copies travel with the first.
template <class Load, class Use>
__device__ void stream_tiles(int tiles, int buffers, Load load, Use use) {
  if (tiles > 0) {
    load(0, 0);
  }
  copies_commit();
  for (int i = 0; i < tiles; ++i) {
    const int buffer = i % buffers;
    if (buffers == 2) {
      if (i + 1 < tiles) {
        load(i + 1, 1 - buffer);
      }
      copies_commit();
      copies_arrived<1>();
    } else {
      copies_arrived<0>();
    }
    __syncthreads();
    use(i, buffer);
    __syncthreads();
    if (buffers == 1 && i + 1 < tiles) {
      load(i + 1, 0);
      copies_commit();
    }
  }
}

}  // namespace ras
