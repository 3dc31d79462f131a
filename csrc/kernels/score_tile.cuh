// A block's products of rows held still with rows that stream by, scores = still streamed^T, in one register layout
// whatever the type: that of the tensor cores' mma.m16n8k16.
//
// Lane 4 g + q of a warp holds, of every 16 x 8 tile, the scores of still rows g (values 0, 1) and g + 8 (values 2, 3)
// with streamed rows 2 q and 2 q + 1. 16-bit types multiply on tensor cores and sum in f32; f32 would lose its
// precision there and is multiplied and added from shared memory.
//
// Shared memory holds a row as 16-byte chunks, chunk c of row r at place c ^ (r % 8), so that eight rows' equal chunks
// lie in different banks.
#pragma once

#include "attention_peak_plan.h"
#include "convert.cuh"

namespace ras {

template <int kRowBytes>
__device__ inline int chunk_at(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

template <class T, int kWidth>
struct TileShape {
  static constexpr PeakTile kPlan = peak_tile(kWidth, sizeof(T));
  static constexpr int kMTiles = kPlan.m_tiles, kNTiles = kPlan.n_tiles;
  static constexpr int kBlockRows = kPlan.block_rows, kWarpRows = 16 * kMTiles;
  static constexpr int kStageRows = kPlan.stage_rows, kStages = kPlan.stages;
  static constexpr int kColumns = 8 * kNTiles;  // streamed rows multiplied at a time
  static constexpr int kRowBytes = kWidth * sizeof(T), kStageBytes = kStageRows * kRowBytes;
  static constexpr int kSide = kPlan.shared_bytes - kPlan.side_bytes;
  // Where the still rows arrive: in a place of their own, or in the stages that only fill later.
  static constexpr int kStill = kPlan.still_bytes ? kStages * kStageBytes : kStageBytes;
  static_assert(kPlan.still_bytes || kBlockRows <= (kStages - 1) * kStageRows);
  using Scores = float[kMTiles][kNTiles][4];
};

template <class T, int kWidth>
struct ScoreTile : TileShape<T, kWidth> {
  using Shape = TileShape<T, kWidth>;
  static constexpr int kSteps = kWidth / 16, kPairs = Shape::kNTiles / 2;
  uint32_t still[Shape::kMTiles][kSteps][4];

  // Takes the warp's rows into registers.
  __device__ void hold(const unsigned char* rows, int warp_row, int /*width*/) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < Shape::kMTiles; ++m) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        load_matrices(still[m][step],
                      rows + chunk_at<Shape::kRowBytes>(warp_row + 16 * m + lane % 16, 2 * step + lane / 16));
      }
    }
  }

  __device__ static void load_streamed(uint32_t (&values)[kPairs][4], const unsigned char* rows, int step) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      load_matrices(values[pair],
                    rows + chunk_at<Shape::kRowBytes>(16 * pair + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
    }
  }

  // `rows`: the first of kColumns streamed rows.
  __device__ void multiply(typename Shape::Scores& scores, const unsigned char* rows) const {
    uint32_t streamed[2][kPairs][4];  // a step is loaded while the one before it is multiplied
    load_streamed(streamed[0], rows, 0);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) {
        load_streamed(streamed[(step + 1) % 2], rows, step + 1);
      }
#pragma unroll
      for (int n = 0; n < Shape::kNTiles; ++n) {
        const uint32_t (&four)[4] = streamed[step % 2][n / 2];
        const uint32_t two[2] = {four[n % 2 * 2], four[n % 2 * 2 + 1]};
#pragma unroll
        for (int m = 0; m < Shape::kMTiles; ++m) {
          multiply_accumulate<T>(scores[m][n], still[m][step], two);
        }
      }
    }
  }
};

template <int kWidth>
struct ScoreTile<float, kWidth> : TileShape<float, kWidth> {
  using Shape = TileShape<float, kWidth>;
  const unsigned char* still;
  int warp_row, chunks;

  __device__ void hold(const unsigned char* rows, int first_row, int width) {
    still = rows;
    warp_row = first_row;
    chunks = (width + 3) / 4;
  }

  __device__ static float4 four(const unsigned char* rows, int row, int chunk) {
    return *reinterpret_cast<const float4*>(rows + chunk_at<Shape::kRowBytes>(row, chunk));
  }

  __device__ void multiply(typename Shape::Scores& scores, const unsigned char* rows) const {
    const int g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      float4 a[2 * Shape::kMTiles];
#pragma unroll
      for (int i = 0; i < 2 * Shape::kMTiles; ++i) {
        a[i] = four(still, warp_row + 8 * i + g, chunk);
      }
#pragma unroll
      for (int n = 0; n < Shape::kNTiles; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const float4 b = four(rows, 8 * n + 2 * q + j, chunk);
#pragma unroll
          for (int i = 0; i < 2 * Shape::kMTiles; ++i) {
            float& score = scores[i / 2][n][i % 2 * 2 + j];
            // Four products first: a quarter of the additions into a growing sum, whose roundings are the largest.
            score += fmaf(a[i].x, b.x, fmaf(a[i].y, b.y, fmaf(a[i].z, b.z, a[i].w * b.w)));
          }
        }
      }
    }
  }
};

// Copies kRows rows of `base` into shared memory, row r from row_of(r), zeros where that is negative and past `width`.
// Chunks travel on their own if `aligned` says that every row starts on 16 bytes; copies_commit closes them.
template <class T, int kWidth, int kRows, class RowOf>
__device__ void load_rows(unsigned char* target, const T* base, int64_t stride, int width, bool aligned, RowOf row_of) {
  constexpr int kChunk = 16 / sizeof(T), kChunks = kWidth / kChunk, kRowBytes = kWidth * sizeof(T);
  constexpr int kStep = kPeakThreads / kChunks;
  static_assert(kPeakThreads % kChunks == 0 && kRows % kStep == 0);
  // A thread's chunks are all at the same place of their rows.
  const int chunk = threadIdx.x % kChunks, left = width - chunk * kChunk;
  const int there = left < 0 ? 0 : left < kChunk ? left : kChunk;
  const T* from = there ? base + chunk * kChunk : base;
  if (aligned) {
#pragma unroll 8
    for (int row = threadIdx.x / kChunks; row < kRows; row += kStep) {
      const int source = row_of(row);
      copy_16_async(target + chunk_at<kRowBytes>(row, chunk), source < 0 ? base : from + source * stride,
                    source < 0 ? 0 : there * static_cast<int>(sizeof(T)));
    }
    return;
  }
#pragma unroll 1
  for (int row = threadIdx.x / kChunks; row < kRows; row += kStep) {
    const int source = row_of(row), values = source < 0 ? 0 : there;
    T* to = reinterpret_cast<T*>(target + chunk_at<kRowBytes>(row, chunk));
    for (int v = 0; v < kChunk; ++v) {
      to[v] = v < values ? from[source * stride + v] : from_float<T>(0.0f);
    }
  }
}

// load(tile, stage) and use(tile, stage) for all tiles, loads kStages - 1 ahead. Tile 0 has arrived, and nothing else
// in the stages is in use.
template <int kStages, class Load, class Use>
__device__ void stream(int tiles, Load load, Use use) {
#pragma unroll 1
  for (int tile = 2 - kStages; tile < tiles; ++tile) {
    if (tile >= 0) {
      copies_arrived<kStages - 2>();
      __syncthreads();  // the tile is there for all, and all are done with the one before
    }
    const int ahead = tile + kStages - 1;
    if (ahead < tiles) {
      load(ahead, ahead % kStages);
    }
    copies_commit();
    if (tile >= 0) {
      use(tile, tile % kStages);
    }
  }
}

}  // namespace ras
