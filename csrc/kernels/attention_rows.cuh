// What the kernels of attention_peak_ are given, and the list of text rows: rows that are no text cost nothing after
// it.
#pragma once

#include "score_tile.cuh"

namespace ras {

// Of one split of the keys, for one text row: the largest score times log2(e), and the sum of 2^(score - largest).
struct alignas(8) PartialSum {
  float top, sum;
};

template <class T>
struct AttentionArguments {
  float* acc;                // (batch, visual), acc_stride apart
  const T* q;                // (batch, query_heads, rows, width)
  const T* k;                // (batch, query_heads / group, keys, width)
  const float* lse;          // (batch, query_heads, rows), or null
  const int32_t* heads;      // (n_heads)
  const bool* text_rows;     // (batch, rows)
  const int32_t* visual;     // (batch, visual)
  const int32_t* key_range;  // (batch, 2), or null
  unsigned char* scratch;    // of the plan's size, 16-byte aligned
  int64_t acc_stride, text_stride, visual_stride, range_stride;
  int64_t q_batch, q_head, q_row, k_batch, k_head, k_row, lse_batch, lse_head;
  int batch, query_heads, group, n_heads, rows, keys, columns, width;
  int offset;  // a row sees the keys up to its number plus this; within -rows..keys
  float scale, weight;
  // Filled in when enqueued.
  bool q_aligned, k_aligned;
  PeakCut cut;

  __device__ int32_t* arrivals(int b) const {
    return reinterpret_cast<int32_t*>(scratch + cut.arrivals) + b * cut.visual_blocks;
  }
  __device__ int32_t* count() const { return reinterpret_cast<int32_t*>(scratch + cut.count); }
  __device__ int32_t* list(int b) const {
    return reinterpret_cast<int32_t*>(scratch + cut.list) + static_cast<int64_t>(b) * rows;
  }
  __device__ PartialSum* partials(int b, int slot) const {
    return reinterpret_cast<PartialSum*>(scratch + cut.partials) +
           (static_cast<int64_t>(b) * n_heads + slot) * cut.splits * rows;
  }
  __device__ float* probabilities(int b, int slot) const {
    return reinterpret_cast<float*>(scratch + cut.probabilities) + (static_cast<int64_t>(b) * n_heads + slot) * columns;
  }
  // One past the last key a row sees.
  __device__ int limit(int row, int past) const { return min(past, row + offset + 1); }
};

struct KeyRange {
  int first, past;
};

template <class T>
__device__ KeyRange key_range_of(const AttentionArguments<T>& a, int b) {
  if (!a.key_range) {
    return {0, a.keys};
  }
  const int32_t* range = a.key_range + b * a.range_stride;
  const KeyRange found{range[0], range[1]};
  if (found.first < 0 || found.first > found.past || found.past > a.keys) {
    __trap();
  }
  return found;
}

template <class T>
__device__ int head_of(const AttentionArguments<T>& a, int slot) {
  const int head = a.heads[slot];
  if (head < 0 || head >= a.query_heads) {
    __trap();
  }
  return head;
}

// Calls emit(rank, row) for the text rows in order, by all threads of the block; may stop once `enough` are found.
// Returns how many were. `counts`: shared, one a warp.
template <class Emit>
__device__ int each_text_row(const bool* is_text, int rows, int enough, int* counts, Emit emit) {
  constexpr int kLooks = 16, kWarps = kPeakThreads / 32;  // 2048 rows at a time: one look for most prompts
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int found = 0;
  for (int start = 0; start < rows && found < enough; start += kLooks * kPeakThreads) {
    const int first = start + warp * kLooks * 32 + lane;
    uint32_t flags = 0;
#pragma unroll
    for (int i = 0; i < kLooks; ++i) {
      const int row = first + 32 * i;
      flags |= (row < rows && is_text[row] ? 1u : 0u) << i;
    }
    int mine = 0;
    for (int i = 0; i < kLooks; ++i) {
      mine += __popc(__ballot_sync(0xffffffffu, flags >> i & 1));
    }
    if (lane == 0) {
      counts[warp] = mine;
    }
    __syncthreads();
    int rank = found;
    for (int w = 0; w < kWarps; ++w) {
      rank += w < warp ? counts[w] : 0;
      found += counts[w];
    }
    for (int i = 0; i < kLooks; ++i) {
      const uint32_t set = __ballot_sync(0xffffffffu, flags >> i & 1);
      if (flags >> i & 1) {
        emit(rank + __popc(set & ((1u << lane) - 1)), first + 32 * i);
      }
      rank += __popc(set);
    }
    __syncthreads();
  }
  return found;
}

// The list of one batch entry for the kernel behind, and the arrivals it counts from 0.
template <class T>
__device__ void publish(const AttentionArguments<T>& a, int b, int found) {
  if (threadIdx.x == 0) {
    a.count()[b] = found;
  }
  for (int i = threadIdx.x; i < a.cut.visual_blocks; i += kPeakThreads) {
    a.arrivals(b)[i] = 0;
  }
}

template <class T>
__global__ void __launch_bounds__(kPeakThreads) gather_rows_kernel(AttentionArguments<T> a) {
  const int b = blockIdx.z;
  int32_t* list = a.list(b);
  const int found =
      each_text_row(a.text_rows + b * a.text_stride, a.rows, a.rows, reinterpret_cast<int*>(shared_memory()),
                    [&](int rank, int row) { list[rank] = row; });
  publish(a, b, found);
}

}  // namespace ras
