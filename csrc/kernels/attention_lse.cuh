// First pass of attention_peak_: log-sum-exp of every text row's scores over the keys it sees, a split of the keys a
// block. Rows are held still, keys stream by; a lane keeps its own running (largest, sum) and merges with its three
// neighbours at the end, so that the loop needs no shuffle.
#pragma once

#include "attention_rows.cuh"

namespace ras {

// Both parts of a sum, their terms shifted to the larger of the two tops. Where every score was -inf nothing is
// shifted, and a NaN in a sum stays.
__device__ inline PartialSum merged(PartialSum a, PartialSum b) {
  const float top = fmaxf(a.top, b.top), shift = top == -INFINITY ? 0.0f : top;
  return {top, a.sum * exp2_flushed(a.top - shift) + b.sum * exp2_flushed(b.top - shift)};
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kPeakThreads, peak_tile(kWidth, sizeof(T)).blocks)
    partial_lse_kernel(AttentionArguments<T> a) {
  using Tile = ScoreTile<T, kWidth>;
  constexpr int kMTiles = Tile::kMTiles, kNTiles = Tile::kNTiles;
  unsigned char* shared = shared_memory();
  int* rows = reinterpret_cast<int*>(shared + Tile::kSide);
  const auto row_blocks = static_cast<int>(a.cut.row_blocks);
  const int row_block = blockIdx.x % row_blocks, split = blockIdx.x / row_blocks;
  const int slot = blockIdx.y, b = blockIdx.z;
  const int head = head_of(a, slot);
  const KeyRange range = key_range_of(a, b);
  const T* q = a.q + b * a.q_batch + head * a.q_head;
  const T* k = a.k + b * a.k_batch + head / a.group * a.k_head;

  int begin = split * static_cast<int>(a.cut.split_keys);
  int end = min(static_cast<int>(min(static_cast<int64_t>(range.past), begin + a.cut.split_keys)), range.past);
  begin += max(0, range.first - begin) / Tile::kStageRows * Tile::kStageRows;
  const auto load = [&](int tile, int stage) {
    const int first = begin + tile * Tile::kStageRows;
    load_rows<T, kWidth, Tile::kStageRows>(shared + stage * Tile::kStageBytes, k, a.k_row, a.width, a.k_aligned,
                                           [&](int row) { return first + row < end ? first + row : -1; });
  };
  load(0, 0);
  copies_commit();

  // Meanwhile, which rows; one block a batch entry also lists them for the second pass.
  const bool publishes = blockIdx.x == 0 && slot == 0;
  const int first_rank = row_block * Tile::kBlockRows;
  int32_t* list = a.list(b);
  const int found =
      each_text_row(a.text_rows + b * a.text_stride, a.rows, publishes ? a.rows : first_rank + Tile::kBlockRows,
                    rows + Tile::kBlockRows, [&](int rank, int row) {
                      if (rank >= first_rank && rank < first_rank + Tile::kBlockRows) {
                        rows[rank - first_rank] = row;
                      }
                      if (publishes) {
                        list[rank] = row;
                      }
                    });
  if (publishes) {
    publish(a, b, found);
  }
  const int n_rows = min(found - first_rank, Tile::kBlockRows);
  if (n_rows <= 0) {
    copies_arrived<0>();
    return;
  }
  load_rows<T, kWidth, Tile::kBlockRows>(shared + Tile::kStill, q, a.q_row, a.width, a.q_aligned,
                                         [&](int row) { return row < n_rows ? rows[row] : -1; });
  copies_commit();
  copies_arrived<0>();
  __syncthreads();

  const int g = threadIdx.x % 32 / 4, quad = threadIdx.x % 4;
  const int warp_row = threadIdx.x / 32 * Tile::kWarpRows;
  Tile tile;
  tile.hold(shared + Tile::kStill, warp_row, a.width);
  int limit[2 * kMTiles];
  PartialSum state[2 * kMTiles];
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    const int row = warp_row + 8 * i + g;
    limit[i] = row < n_rows ? a.limit(rows[row], range.past) : 0;
    state[i] = {-INFINITY, 0.0f};
  }
  // Rows ascend: the first of the warp sees least, the last of the block most.
  const int seen_by_all = warp_row < n_rows ? a.limit(rows[warp_row], range.past) : 0;
  end = min(end, a.limit(rows[n_rows - 1], range.past));
  __syncthreads();

  const float scale = a.scale * 1.44269504f;  // in base 2
  const auto use = [&](int index, int stage) {
    if (warp_row >= n_rows) {
      return;
    }
#pragma unroll 1
    for (int column = 0; column < Tile::kStageRows; column += Tile::kColumns) {
      const int first = begin + index * Tile::kStageRows + column;
      typename Tile::Scores scores = {};
      tile.multiply(scores, shared + stage * Tile::kStageBytes + column * Tile::kRowBytes);
#pragma unroll
      for (int i = 0; i < 2 * kMTiles; ++i) {
#pragma unroll
        for (int c = 0; c < 2 * kNTiles; ++c) {
          scores[i / 2][c / 2][i % 2 * 2 + c % 2] *= scale;
        }
      }
      if (first < range.first || first + Tile::kColumns > seen_by_all) {
#pragma unroll
        for (int i = 0; i < 2 * kMTiles; ++i) {
#pragma unroll
          for (int c = 0; c < 2 * kNTiles; ++c) {
            const int key = first + 8 * (c / 2) + 2 * quad + c % 2;
            float& score = scores[i / 2][c / 2][i % 2 * 2 + c % 2];
            score = key >= range.first && key < limit[i] ? score : -INFINITY;
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 2 * kMTiles; ++i) {
        float top = state[i].top;
#pragma unroll
        for (int c = 0; c < 2 * kNTiles; ++c) {
          top = fmaxf(top, scores[i / 2][c / 2][i % 2 * 2 + c % 2]);
        }
        const float shift = top == -INFINITY ? 0.0f : top;
        float sum = state[i].sum * exp2_flushed(state[i].top - shift);
#pragma unroll
        for (int c = 0; c < 2 * kNTiles; ++c) {
          sum += exp2_flushed(scores[i / 2][c / 2][i % 2 * 2 + c % 2] - shift);
        }
        state[i] = {top, sum};
      }
    }
  };
  stream<Tile::kStages>(end > begin ? (end - begin + Tile::kStageRows - 1) / Tile::kStageRows : 0, load, use);
  copies_arrived<0>();

  PartialSum* out = a.partials(b, slot) + static_cast<int64_t>(split) * a.rows + first_rank;
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    for (int other = 1; other < 4; other *= 2) {
      state[i] = merged(state[i], {__shfl_xor_sync(0xffffffffu, state[i].top, other),
                                   __shfl_xor_sync(0xffffffffu, state[i].sum, other)});
    }
    const int row = warp_row + 8 * i + g;
    if (quad == 0 && row < n_rows) {
      out[row] = state[i];
    }
  }
}

}  // namespace ras
