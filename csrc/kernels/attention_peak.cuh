// attention_peak_ on a GPU: acc[b, j] += weight * sum over heads of max over text rows of softmax(q k^T scale)[row, j].
//
// max_t exp(s_tj - L_t) = exp(max_t (s_tj - L_t)): with the log-sum-exp L of the first pass, one exponential serves a
// visual key of a head, and the attention matrix is never written. Here, the second pass: 128 (or 64) visual keys are
// held still, text rows stream by, so that the maximum over rows stays within a lane and its three neighbours. The
// block that finishes last among the heads of a visual block adds them up, in the order of `heads`.
#pragma once

#include "attention_lse.cuh"
#include "launch.cuh"

namespace ras {

// A given log-sum-exp, or that of a text row's merged splits, which the row's `kLanes` lanes share among themselves.
template <int kLanes, class T>
__device__ float row_lse(const AttentionArguments<T>& a, const PartialSum* partials, const float* given, int rank,
                         int row, int lane) {
  if (given) {
    return row < 0 ? 0.0f : given[row];
  }
  const auto splits = static_cast<int>(a.cut.splits);
  PartialSum all{-INFINITY, 0.0f};
#pragma unroll 4
  for (int split = lane; row >= 0 && split < splits; split += kLanes) {
    all = merged(all, partials[static_cast<int64_t>(split) * a.rows + rank]);
  }
#pragma unroll
  for (int other = 1; other < kLanes; other *= 2) {
    all = merged(all, {__shfl_xor_sync(0xffffffffu, all.top, other), __shfl_xor_sync(0xffffffffu, all.sum, other)});
  }
  return all.top * 0.693147181f + logf(all.sum);
}

// True for all threads of the block that comes last of `blocks`; what the others wrote before is then visible to it.
__device__ inline bool is_last(int32_t* arrivals, int blocks, int* shared_ticket) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *shared_ticket = atomicAdd(arrivals, 1);
  }
  __syncthreads();
  const bool last = *shared_ticket == blocks - 1;
  if (last) {
    __threadfence();
  }
  return last;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kPeakThreads, peak_tile(kWidth, sizeof(T)).blocks)
    peak_kernel(AttentionArguments<T> a) {
  using Tile = ScoreTile<T, kWidth>;
  constexpr int kMTiles = Tile::kMTiles, kNTiles = Tile::kNTiles;
  constexpr int kRowLanes = kPeakThreads / Tile::kStageRows;
  unsigned char* shared = shared_memory();
  float* lse = reinterpret_cast<float*>(shared + Tile::kSide);  // [stage][row]
  int* seen_by_all = reinterpret_cast<int*>(lse + Tile::kStages * Tile::kStageRows);
  const int slot = blockIdx.y, b = blockIdx.z;
  const int head = head_of(a, slot);
  const KeyRange range = key_range_of(a, b);
  const T* q = a.q + b * a.q_batch + head * a.q_head;
  const T* k = a.k + b * a.k_batch + head / a.group * a.k_head;
  const int32_t* visual = a.visual + b * a.visual_stride;
  const int first_column = blockIdx.x * Tile::kBlockRows;
  const auto key_of = [&](int row) {
    const int key = first_column + row < a.columns ? visual[first_column + row] : -1;
    if (key >= a.keys) {
      __trap();
    }
    return key;
  };
  load_rows<T, kWidth, Tile::kBlockRows>(shared + Tile::kStill, k, a.k_row, a.width, a.k_aligned, key_of);
  copies_commit();

  wait_for_previous_kernel();
  const int count = a.count()[b];
  const int32_t* list = a.list(b);
  const PartialSum* partials = a.partials(b, slot);
  const float* given = a.lse ? a.lse + b * a.lse_batch + head * a.lse_head : nullptr;
  const auto load = [&](int tile, int stage) {
    const int first = tile * Tile::kStageRows;
    const auto row_of = [&](int row) { return first + row < count ? list[first + row] : -1; };
    load_rows<T, kWidth, Tile::kStageRows>(shared + stage * Tile::kStageBytes, q, a.q_row, a.width, a.q_aligned,
                                           row_of);
    const int mine = threadIdx.x / kRowLanes, lane = threadIdx.x % kRowLanes;
    const float found = row_lse<kRowLanes>(a, partials, given, first + mine, row_of(mine), lane);
    if (lane == 0) {
      lse[stage * Tile::kStageRows + mine] = found;
    }
    if (threadIdx.x == 0) {
      // Rows ascend: the first sees least. A tile with rows missing is looked at row by row.
      seen_by_all[stage] = first + Tile::kStageRows <= count ? a.limit(list[first], range.past) : INT32_MIN;
    }
  };
  if (count > 0) {
    load(0, 0);
  }
  copies_commit();

  const int g = threadIdx.x % 32 / 4, quad = threadIdx.x % 4;
  const int warp_row = threadIdx.x / 32 * Tile::kWarpRows;
  int key[2 * kMTiles], last_key = -1;
  float peak[2 * kMTiles];
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    const int position = key_of(warp_row + 8 * i + g);
    key[i] = position < 0 || position >= range.first ? position : INT32_MAX;  // one before the range is never seen
    last_key = max(last_key, key[i]);
    peak[i] = -INFINITY;
  }
  for (int other = 4; other < 32; other *= 2) {
    last_key = max(last_key, __shfl_xor_sync(0xffffffffu, last_key, other));
  }

  copies_arrived<0>();
  __syncthreads();
  Tile tile;
  tile.hold(shared + Tile::kStill, warp_row, a.width);
  __syncthreads();
  const auto use = [&](int index, int stage) {
#pragma unroll 1
    for (int column = 0; column < Tile::kStageRows; column += Tile::kColumns) {
      typename Tile::Scores scores = {};
      tile.multiply(scores, shared + stage * Tile::kStageBytes + column * Tile::kRowBytes);
      const bool whole = last_key < seen_by_all[stage];
#pragma unroll
      for (int c = 0; c < 2 * kNTiles; ++c) {
        const int row = column + 8 * (c / 2) + 2 * quad + c % 2;
        const float norm = lse[stage * Tile::kStageRows + row];
#pragma unroll
        for (int i = 0; i < 2 * kMTiles; ++i) {
          float& score = scores[i / 2][c / 2][i % 2 * 2 + c % 2];
          score = score * a.scale - norm;
        }
      }
      if (!whole) {
#pragma unroll
        for (int c = 0; c < 2 * kNTiles; ++c) {
          const int rank = index * Tile::kStageRows + column + 8 * (c / 2) + 2 * quad + c % 2;
          const int limit = rank < count ? a.limit(list[rank], range.past) : INT32_MIN;
#pragma unroll
          for (int i = 0; i < 2 * kMTiles; ++i) {
            float& score = scores[i / 2][c / 2][i % 2 * 2 + c % 2];
            score = key[i] < limit ? score : -INFINITY;
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 2 * kMTiles; ++i) {
#pragma unroll
        for (int c = 0; c < 2 * kNTiles; ++c) {
          peak[i] = larger(peak[i], scores[i / 2][c / 2][i % 2 * 2 + c % 2]);
        }
      }
    }
  };
  stream<Tile::kStages>((count + Tile::kStageRows - 1) / Tile::kStageRows, load, use);
  copies_arrived<0>();

  float* probabilities = a.probabilities(b, slot) + first_column;
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    for (int other = 1; other < 4; other *= 2) {
      peak[i] = larger(peak[i], __shfl_xor_sync(0xffffffffu, peak[i], other));
    }
    const int row = warp_row + 8 * i + g;
    if (quad == 0 && first_column + row < a.columns) {
      probabilities[row] = expf(peak[i]);
    }
  }
  if (!is_last(a.arrivals(b) + blockIdx.x, a.n_heads, seen_by_all + Tile::kStages)) {
    return;
  }
  for (int row = threadIdx.x; row < Tile::kBlockRows && first_column + row < a.columns; row += kPeakThreads) {
    if (visual[first_column + row] < 0) {
      continue;
    }
    float sum = 0.0f;
#pragma unroll 8
    for (int h = 0; h < a.n_heads; ++h) {
      sum += a.probabilities(b, h)[first_column + row];
    }
    a.acc[b * a.acc_stride + first_column + row] += a.weight * sum;
  }
}

// Fills in what follows from the shape and the addresses, and launches. Something to add must be there: no axis but
// `width` is 0.
template <class T>
void enqueue_attention_peak(const Plan& plan, AttentionArguments<T> a, cudaStream_t stream) {
  a.cut = cut_attention_peak(a.batch, a.n_heads, a.rows, a.keys, a.columns, a.width, sizeof(T), a.lse != nullptr);
  const auto aligned = [](const T* data, int64_t batch, int64_t head, int64_t row) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && (batch | head | row) * sizeof(T) % 16 == 0;
  };
  a.q_aligned = aligned(a.q, a.q_batch, a.q_head, a.q_row);
  a.k_aligned = aligned(a.k, a.k_batch, a.k_head, a.k_row);
  const auto enqueue = [&](auto lse, auto peak) {
    launch(a.lse ? gather_rows_kernel<T> : lse, plan.launches[0], Behind::kStream, stream, a);
    launch(peak, plan.launches[1], Behind::kOwnKernel, stream, a);
  };
  switch (peak_padded_width(a.width)) {
    case 64:
      return enqueue(partial_lse_kernel<T, 64>, peak_kernel<T, 64>);
    case 128:
      return enqueue(partial_lse_kernel<T, 128>, peak_kernel<T, 128>);
    default:
      return enqueue(partial_lse_kernel<T, 256>, peak_kernel<T, 256>);
  }
}

}  // namespace ras
