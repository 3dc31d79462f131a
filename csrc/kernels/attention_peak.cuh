// attention_peak_ on a GPU: acc[b, j] += weight * sum_{h in heads} max_{t in text rows} softmax(q k^T scale)[t,
// visual_j].
//
// max_t exp(s_tj - L_t) = exp(max_t (s_tj - L_t)): with the log-sum-exp L a visual key needs one exponential a head,
// and the attention matrix is never written. Visual keys are the resident operand of the score tile, text rows the
// streamed one, so that the maximum over rows stays within a quad of lanes.
#pragma once

#include "attention_lse.cuh"
#include "launch.cuh"

namespace ras {

// Log-sum-exp of row i of the list, t of the request: given, or merged from its parts in their order.
template <class T>
__device__ float row_lse(const AttentionArguments<T>& a, int64_t b, int64_t head_index, int head, int64_t i,
                         int64_t t) {
  if (a.lse) {
    return a.lse[b * a.lse_batch + head * a.lse_head + t];
  }
  RunningSum whole;
  for (int64_t split = 0; split < a.cut.key_splits; ++split) {
    const float* part = a.part(b, head_index, split, i);
    whole.merge(part[0], part[1]);
  }
  return whole.log();
}

// Grid: tiles of visual keys x heads x batch. Writes max_t (s_tj - L_t), -inf where no text row sees the key.
template <class T>
__global__ void __launch_bounds__(kScoreTileThreads) peak_kernel(AttentionArguments<T> a) {
  using Tile = ScoreTile<T>;
  wait_for_previous_kernel();
  const int64_t b = blockIdx.z, first_column = static_cast<int64_t>(blockIdx.x) * Tile::kResident;
  const int head = a.head_at(blockIdx.y);
  const SeenKeys seen(a, b);
  const int64_t count = *a.count(b);
  const int32_t *listed = a.listed(b), *visual = a.visual + b * a.visual_stride;
  const int64_t tile_size = padded_width(a.width);
  const int buffers = tile_buffers(a.width);
  auto* resident = reinterpret_cast<T*>(shared_memory());
  T* streamed = resident + Tile::kResident * tile_size;
  auto* lse = reinterpret_cast<float*>(streamed + buffers * Tile::kStreamed * tile_size);
  auto* last = reinterpret_cast<int*>(lse + buffers * Tile::kStreamed);

  // The key of a column, or one that no row sees.
  const auto key_at = [&](int64_t column) {
    const int key = column < a.n_visual ? visual[column] : -1;
    if (key >= a.keys) {
      __trap();
    }
    return key < seen.first ? INT32_MAX : key;
  };
  const T* keys = a.key_rows(b, head);
  load_tile(resident, Tile::kResident, a.width, a.k_aligned, [&](int i) {
    const int key = key_at(first_column + i);
    return key < a.keys ? keys + key * a.k_row : nullptr;
  });

  const int lane = threadIdx.x % 32;
  int key[Tile::kTall][2];
  float peak[Tile::kTall][2];
#pragma unroll
  for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      key[m][half] = key_at(first_column + (threadIdx.x / 32 * Tile::kTall + m) * 16 + lane / 4 + 8 * half);
      peak[m][half] = -INFINITY;
    }
  }
  const T* queries = a.query_rows(b, head);
  stream_tiles(
      static_cast<int>((count + Tile::kStreamed - 1) / Tile::kStreamed), buffers,
      [&](int tile, int buffer) {
        const int64_t base = static_cast<int64_t>(tile) * Tile::kStreamed;
        load_tile(streamed + buffer * Tile::kStreamed * tile_size, Tile::kStreamed, a.width, a.q_aligned,
                  [&](int i) { return base + i < count ? queries + listed[base + i] * a.q_row : nullptr; });
        if (threadIdx.x < Tile::kStreamed) {
          const int64_t i = base + threadIdx.x, t = i < count ? listed[i] : 0;
          const int place = buffer * Tile::kStreamed + threadIdx.x;
          lse[place] = i < count ? row_lse(a, b, blockIdx.y, head, i, t) : 0.0f;
          last[place] = i < count ? seen.last(t) : INT32_MIN;
        }
      },
      [&](int, int buffer) {
        typename Tile::Fragment c;
        multiply_tile<T>(c, resident, streamed + buffer * Tile::kStreamed * tile_size, a.width);
#pragma unroll
        for (int n = 0; n < Tile::kWide; ++n) {
#pragma unroll
          for (int side = 0; side < 2; ++side) {
            const int place = buffer * Tile::kStreamed + 8 * n + 2 * (lane % 4) + side;
            const float row_lse = lse[place];
            const int row_last = last[place];
#pragma unroll
            for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
              for (int half = 0; half < 2; ++half) {
                const float score = fmaf(c[m][n][2 * half + side], a.scale, -row_lse);
                peak[m][half] = larger(peak[m][half], key[m][half] < row_last ? score : -INFINITY);
              }
            }
          }
        }
      });
  copies_arrived<0>();

#pragma unroll
  for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int lanes = 1; lanes < 4; lanes *= 2) {
        peak[m][half] = larger(peak[m][half], __shfl_xor_sync(kWholeWarp, peak[m][half], lanes));
      }
      const int64_t column = first_column + (threadIdx.x / 32 * Tile::kTall + m) * 16 + lane / 4 + 8 * half;
      if (lane % 4 == 0 && column < a.n_visual) {
        a.peak(b, blockIdx.y)[column] = peak[m][half];
      }
    }
  }
}

// Grid: batch * visual. Adds the heads in the order they are named.
template <class T>
__global__ void __launch_bounds__(kPeakSumThreads) sum_heads_kernel(AttentionArguments<T> a) {
  wait_for_previous_kernel();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPeakSumThreads + threadIdx.x;
  if (i >= a.batch * a.n_visual) {
    return;
  }
  const int64_t b = i / a.n_visual, column = i % a.n_visual;
  if (a.visual[b * a.visual_stride + column] < 0) {
    return;
  }
  float sum = 0;
  for (int64_t head = 0; head < a.n_heads; ++head) {
    sum += expf(a.peak(b, head)[column]);
  }
  a.acc[b * a.acc_stride + column] += a.weight * sum;
}

template <class T>
void enqueue_attention_peak(const Plan& plan, const AttentionArguments<T>& a, cudaStream_t stream) {
  auto next = plan.launches.begin();
  launch(gather_rows_kernel<T>, *next++, Behind::kStream, stream, a);
  if (!a.lse) {
    if (a.rows > 0) {
      launch(partial_lse_kernel<T>, *next, Behind::kOwnKernel, stream, a);
    }
    ++next;
  }
  launch(peak_kernel<T>, *next++, Behind::kOwnKernel, stream, a);
  launch(sum_heads_kernel<T>, *next++, Behind::kOwnKernel, stream, a);
}

}  // namespace ras
