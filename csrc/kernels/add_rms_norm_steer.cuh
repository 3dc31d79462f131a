// add_rms_norm_steer_ on a GPU: residual <- residual + x, out <- residual / sqrt(mean(residual^2) + eps) * weight, and
// the batch's rows of out steered before they are stored.
//
// The norm reads the residual as it is stored and the steering reads out as it would be stored, so the op equals the
// norm followed by steer_ bit for bit. Each row looks for its own entry among the batch's rows.
#pragma once

#include "add_rms_norm_steer_plan.h"
#include "dose.cuh"
#include "launch.cuh"
#include "reduce.cuh"

namespace ras {

struct NormArguments {
  WrittenRows out;       // (n_rows, hidden)
  ReadRows x;            // (n_rows, hidden)
  WrittenRows residual;  // (n_rows, hidden); data null: x itself is normed
  ReadRows weight;       // (hidden)
  SteerEntries entries;
  int64_t n_rows, hidden;
  float eps;
};

// Eight elements of the row to be normed; the sum with the residual is stored on the way.
__device__ inline void add_eight(float (&value)[kEight], const NormArguments& a, int64_t row, int64_t column) {
  const int64_t count = a.hidden - column;
  load_eight(value, a.x.data, a.x.type, row * a.x.stride + column, count, a.x.aligned);
  if (a.residual.data) {
    const int64_t place = row * a.residual.stride + column;
    float carried[kEight];
    load_eight(carried, a.residual.data, a.residual.type, place, count, a.residual.aligned);
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      value[i] += carried[i];
    }
    store_eight(a.residual.data, a.residual.type, place, value, count, a.residual.aligned);
  }
}

// The same once more, for rows too long to keep.
__device__ inline void read_eight(float (&value)[kEight], const NormArguments& a, int64_t row, int64_t column) {
  const int64_t count = a.hidden - column;
  if (a.residual.data) {
    load_eight(value, a.residual.data, a.residual.type, row * a.residual.stride + column, count, a.residual.aligned);
  } else {
    load_eight(value, a.x.data, a.x.type, row * a.x.stride + column, count, a.x.aligned);
  }
}

__device__ inline void finish_eight(float (&value)[kEight], const NormArguments& a, int64_t row, int64_t column,
                                    float inverse, const Entry& entry, bool steer) {
  const int64_t count = a.hidden - column;
  float other[kEight];
  load_eight(other, a.weight.data, a.weight.type, column, count, a.weight.aligned);
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    value[i] = __fmul_rn(__fmul_rn(value[i], inverse), other[i]);
  }
  if (steer) {
    const SteerEntries& s = a.entries;
    const float dose = entry.dose();
    load_eight(other, s.prototypes.data, s.prototypes.type, entry.prototype(s) + column, count, s.prototypes.aligned);
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      value[i] = steered(rounded_to(a.out.type, value[i]), other[i], dose);
    }
  }
  store_eight(a.out.data, a.out.type, row * a.out.stride + column, value, count, a.out.aligned);
}

__device__ inline float square_sum(const float (&value)[kEight]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    sum = fmaf(value[i], value[i], sum);
  }
  return sum;
}

// The last entry of the batch that steers this row, as far as this thread looked; -1: none. `mine`: its first entry.
__device__ inline int find_entry(const NormArguments& a, int64_t row, const Entry& mine) {
  const SteerEntries& s = a.entries;
  int found = mine.row == row && mine.steers(s) ? static_cast<int>(threadIdx.x) : -1;
  for (int64_t i = threadIdx.x + kNormThreads; i < s.batch; i += kNormThreads) {
    const Entry entry = load_entry(s, i, a.n_rows);
    found = entry.row == row && entry.steers(s) ? static_cast<int>(i) : found;
  }
  return found;
}

// Grid: n_rows. kGroups: of eight elements that a thread keeps; 0: none.
template <int kGroups>
__global__ void __launch_bounds__(kNormThreads, 1) add_rms_norm_steer_kernel(NormArguments a) {
  constexpr int kWarps = kNormThreads / 32;
  constexpr int64_t kStride = kEight * kNormThreads;
  auto* sums = reinterpret_cast<float*>(shared_memory());
  auto* found = reinterpret_cast<int*>(sums + kWarps);
  const int64_t row = blockIdx.x, first = threadIdx.x * kEight;
  // Before the row, so that both are on their way at once.
  const Entry mine = threadIdx.x < a.entries.batch ? load_entry(a.entries, threadIdx.x, a.n_rows) : Entry{};

  float kept[kGroups > 0 ? kGroups : 1][kEight];
  float squares = 0;
  if constexpr (kGroups > 0) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      if (first + i * kStride < a.hidden) {
        add_eight(kept[i], a, row, first + i * kStride);
        squares += square_sum(kept[i]);
      }
    }
  } else {
    for (int64_t column = first; column < a.hidden; column += kStride) {
      add_eight(kept[0], a, row, column);
      squares += square_sum(kept[0]);
    }
  }

  int at = warp_max(find_entry(a, row, mine));
  if (threadIdx.x % 32 == 0) {
    found[threadIdx.x / 32] = at;
  }
  const float mean = block_sum(squares, sums) / static_cast<float>(a.hidden);  // its barrier is found's too
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    at = found[warp] > at ? found[warp] : at;
  }
  const float inverse = 1.0f / sqrtf(mean + a.eps);
  const bool steer = at >= 0;
  const Entry entry = steer ? load_entry(a.entries, at, a.n_rows) : Entry{};

  if constexpr (kGroups > 0) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      if (first + i * kStride < a.hidden) {
        finish_eight(kept[i], a, row, first + i * kStride, inverse, entry, steer);
      }
    }
  } else {
    for (int64_t column = first; column < a.hidden; column += kStride) {
      read_eight(kept[0], a, row, column);
      finish_eight(kept[0], a, row, column, inverse, entry, steer);
    }
  }
}

inline void enqueue_add_rms_norm_steer(const Plan& plan, const NormArguments& a, cudaStream_t stream) {
  switch (norm_groups(a.hidden)) {
    case 2:
      return launch(add_rms_norm_steer_kernel<2>, plan.launches[0], Behind::kStream, stream, a);
    case 4:
      return launch(add_rms_norm_steer_kernel<4>, plan.launches[0], Behind::kStream, stream, a);
    case 8:
      return launch(add_rms_norm_steer_kernel<8>, plan.launches[0], Behind::kStream, stream, a);
    default:
      return launch(add_rms_norm_steer_kernel<0>, plan.launches[0], Behind::kStream, stream, a);
  }
}

}  // namespace ras
