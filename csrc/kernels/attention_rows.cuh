// What attention_peak_'s kernels share: their arguments, which keys a text row sees, and the list of the text rows.
#pragma once

#include "attention_peak_plan.h"
#include "reduce.cuh"

namespace ras {

template <class T>
struct AttentionArguments {
  float* acc;                // (batch, visual)
  const T* q;                // (batch, query_heads, rows, width)
  const T* k;                // (batch, kv_heads, keys, width)
  const float* lse;          // (batch, query_heads, rows), natural, or null
  const int32_t* heads;      // (n_heads)
  const bool* text_rows;     // (batch, rows)
  const int32_t* visual;     // (batch, visual)
  const int32_t* key_range;  // (batch, 2) or null
  int32_t* scratch;          // laid out as AttentionScratch says
  AttentionScratch place;    // in scratch
  AttentionCut cut;
  int64_t acc_stride, q_batch, q_head, q_row, k_batch, k_head, k_row, lse_batch, lse_head;
  int64_t text_stride, visual_stride, range_stride;
  int64_t batch, query_heads, kv_heads, n_heads, rows, keys, n_visual, width, causal_offset;
  float scale, weight;
  bool q_aligned, k_aligned;  // every row allows 16-byte accesses

  __device__ int32_t* listed(int64_t b) const { return scratch + place.listed + b * rows; }
  __device__ int32_t* count(int64_t b) const { return scratch + place.count + b; }
  // Maximum and sum of row `i` of the list over one split of the keys.
  __device__ float* part(int64_t b, int64_t head, int64_t split, int64_t i) const {
    const int64_t at = ((b * n_heads + head) * cut.key_splits + split) * rows + i;
    return reinterpret_cast<float*>(scratch + place.parts) + 2 * at;
  }
  __device__ float* peak(int64_t b, int64_t head) const {
    return reinterpret_cast<float*>(scratch + place.peaks) + (b * n_heads + head) * n_visual;
  }

  __device__ int head_at(int64_t i) const {
    const int head = heads[i];
    if (head < 0 || head >= query_heads) {
      __trap();
    }
    return head;
  }
  __device__ const T* query_rows(int64_t b, int head) const { return q + b * q_batch + head * q_head; }
  __device__ const T* key_rows(int64_t b, int head) const {
    return k + b * k_batch + head / (query_heads / kv_heads) * k_head;
  }
};

// The keys that rows of one request see: [first, last(t)).
struct SeenKeys {
  int first, past;
  int64_t offset;

  template <class T>
  __device__ SeenKeys(const AttentionArguments<T>& a, int64_t b)
      : first(0), past(static_cast<int>(a.keys)), offset(a.causal_offset) {
    if (a.key_range) {
      first = a.key_range[b * a.range_stride];
      past = a.key_range[b * a.range_stride + 1];
      if (first < 0 || first > past || past > a.keys) {
        __trap();
      }
    }
  }
  __device__ int last(int64_t t) const {
    const int64_t causal = t + offset + 1;
    return causal < past ? static_cast<int>(causal) : past;
  }
};

// Lists the text rows of a request in their order. Grid: batch. Each warp takes a stretch of the rows: all count theirs
// first, so that each knows where in the list it begins.
template <class T>
__global__ void __launch_bounds__(kGatherThreads) gather_rows_kernel(AttentionArguments<T> a) {
  constexpr int kWarps = kGatherThreads / 32;
  auto* counts = reinterpret_cast<int*>(shared_memory());
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t b = blockIdx.x;
  const bool* is_text = a.text_rows + b * a.text_stride;
  const int64_t stretch = (a.rows + 32 * kWarps - 1) / (32 * kWarps) * 32;
  const int64_t begin = warp * stretch, end = begin + stretch < a.rows ? begin + stretch : a.rows;

  int count = 0;
  for (int64_t t = begin + lane; t - lane < end; t += 32) {
    count += __popc(__ballot_sync(kWholeWarp, t < end && is_text[t]));
  }
  if (lane == 0) {
    counts[warp] = count;
  }
  __syncthreads();
  int place = 0, all = 0;
  for (int i = 0; i < kWarps; ++i) {
    place += i < warp ? counts[i] : 0;
    all += counts[i];
  }
  for (int64_t t = begin + lane; t - lane < end; t += 32) {
    const bool text = t < end && is_text[t];
    const unsigned votes = __ballot_sync(kWholeWarp, text);
    if (text) {
      a.listed(b)[place + __popc(votes & ((1u << lane) - 1))] = static_cast<int32_t>(t);
    }
    place += __popc(votes);
  }
  if (threadIdx.x == 0) {
    *a.count(b) = all;
  }
}

}  // namespace ras
