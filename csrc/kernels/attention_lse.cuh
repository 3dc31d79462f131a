// The log-sum-exp of every text row's scores, in parts: text rows are the resident operand of the tile, keys the
// streamed one, so that a row's sum stays within a quad of lanes. The peaks' kernel merges the parts.
#pragma once

#include "attention_rows.cuh"
#include "score_tile.cuh"

namespace ras {

__device__ inline float exp_under(float value, float max) {
  constexpr float kLog2E = 1.44269504088896340736f;
  return exp2f((value - max) * kLog2E);
}

// A running maximum and the sum of exponentials under it.
struct RunningSum {
  float max = -INFINITY, sum = 0;

  __device__ void raise(float to) {
    if (to > max) {
      sum *= exp_under(max, to);
      max = to;
    }
  }
  // While everything is -inf nothing is taken off and nothing summed, so that a NaN is not lost on the way.
  __device__ void add(float value) { sum += exp_under(value, max == -INFINITY ? 0.0f : max); }
  __device__ void merge(float other_max, float other_sum) {
    raise(other_max);
    sum += other_max < max ? other_sum * exp_under(other_max, max) : other_sum;
  }
  __device__ float log() const { return max + logf(sum); }
};

// Grid: (row tiles x key splits) x heads x batch.
template <class T>
__global__ void __launch_bounds__(kScoreTileThreads) partial_lse_kernel(AttentionArguments<T> a) {
  using Tile = ScoreTile<T>;
  wait_for_previous_kernel();
  const int64_t b = blockIdx.z, split = blockIdx.x % a.cut.key_splits;
  const int64_t first_row = blockIdx.x / a.cut.key_splits * Tile::kResident;
  const int head = a.head_at(blockIdx.y);
  const SeenKeys seen(a, b);
  const int64_t count = *a.count(b);
  if (first_row >= count) {
    return;
  }
  const int32_t* listed = a.listed(b);
  const int64_t tile_size = padded_width(a.width);
  auto* resident = reinterpret_cast<T*>(shared_memory());
  T* streamed = resident + Tile::kResident * tile_size;

  const T* queries = a.query_rows(b, head);
  load_tile(resident, Tile::kResident, a.width, a.q_aligned,
            [&](int i) { return first_row + i < count ? queries + listed[first_row + i] * a.q_row : nullptr; });

  // The rows are listed in order: no row of the tile sees more than its last one.
  const int64_t last_row = first_row + Tile::kResident < count ? first_row + Tile::kResident : count;
  const int64_t seen_past = seen.last(listed[last_row - 1]), split_past = (split + 1) * a.cut.keys_per_split;
  const int64_t begin = split * a.cut.keys_per_split, past = split_past < seen_past ? split_past : seen_past;
  const int tiles = past > begin ? static_cast<int>((past - begin + Tile::kStreamed - 1) / Tile::kStreamed) : 0;

  // The two rows a lane has in each 16: what they see, and their sums so far.
  const int lane = threadIdx.x % 32;
  int last[Tile::kTall][2];
  RunningSum running[Tile::kTall][2];
#pragma unroll
  for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first_row + (threadIdx.x / 32 * Tile::kTall + m) * 16 + lane / 4 + 8 * half;
      last[m][half] = i < count ? seen.last(listed[i]) : INT32_MIN;
    }
  }
  const T* keys = a.key_rows(b, head);
  stream_tiles(
      tiles, tile_buffers(a.width),
      [&](int tile, int buffer) {
        const int64_t base = begin + tile * Tile::kStreamed;
        load_tile(streamed + buffer * Tile::kStreamed * tile_size, Tile::kStreamed, a.width, a.k_aligned,
                  [&](int i) { return base + i < a.keys ? keys + (base + i) * a.k_row : nullptr; });
      },
      [&](int tile, int buffer) {
        typename Tile::Fragment c;
        multiply_tile<T>(c, resident, streamed + buffer * Tile::kStreamed * tile_size, a.width);
        const int base = static_cast<int>(begin) + tile * Tile::kStreamed + 2 * (lane % 4);
#pragma unroll
        for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            float top = running[m][half].max;
#pragma unroll
            for (int n = 0; n < Tile::kWide; ++n) {
#pragma unroll
              for (int side = 0; side < 2; ++side) {
                const int key = base + 8 * n + side;
                float& score = c[m][n][2 * half + side];
                score = key >= seen.first && key < last[m][half] ? score * a.scale : -INFINITY;
                top = fmaxf(top, score);
              }
            }
            running[m][half].raise(top);
#pragma unroll
            for (int n = 0; n < Tile::kWide; ++n) {
              running[m][half].add(c[m][n][2 * half]);
              running[m][half].add(c[m][n][2 * half + 1]);
            }
          }
        }
      });
  // Copies of the resident tile may still be on their way where no key was streamed.
  copies_arrived<0>();

#pragma unroll
  for (int m = 0; m < Tile::kTall; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      RunningSum& sum = running[m][half];
#pragma unroll
      for (int lanes = 1; lanes < 4; lanes *= 2) {
        const float other_max = __shfl_xor_sync(kWholeWarp, sum.max, lanes);
        const float other_sum = __shfl_xor_sync(kWholeWarp, sum.sum, lanes);
        sum.merge(other_max, other_sum);
      }
      const int64_t i = first_row + (threadIdx.x / 32 * Tile::kTall + m) * 16 + lane / 4 + 8 * half;
      if (lane % 4 == 0 && i < count) {
        float* part = a.part(b, blockIdx.y, split, i);
        part[0] = sum.max;
        part[1] = sum.sum;
      }
    }
  }
}

}  // namespace ras
