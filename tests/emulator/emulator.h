// CUDA's words for kernels, given a meaning on the host. See block.h for how threads run.
//
// Stricter than a GPU where it can be: shared memory is exactly as large as the plan says and starts as NaN,
// asynchronous copies land no sooner than they are waited for, blocks run in random order, misaligned vector accesses
// and warps that do not work together are faults.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <vector_functions.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "block.h"
#include "kernels/plan.h"

#undef __global__
#undef __device__
#undef __host__
#undef __launch_bounds__
#undef __forceinline__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __forceinline__ inline

namespace ras::emulated {

inline thread_local uint3 block_index;
inline dim3 block_size, grid_size;

template <class T>
void check_aligned(const T* address, int bytes, const char* what) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    throw Fault(std::string(what) + " needs an address aligned to " + std::to_string(bytes) + " bytes");
  }
}

inline void run_grid(const Launch& shape, const std::function<void()>& kernel) {
  constexpr int64_t kShared = 99 * 1024;  // what the smallest of the supported GPUs gives a block
  if (shape.threads < 1 || shape.threads > 1024 || shape.shared_bytes < 0 || shape.shared_bytes > kShared ||
      shape.grid_x < 1 || shape.grid_y < 1 || shape.grid_z < 1 || shape.grid_x > INT32_MAX || shape.grid_y > 65535 ||
      shape.grid_z > 65535) {
    throw Fault(std::string("no GPU takes this launch of ") + shape.kernel);
  }
  block_size = dim3(static_cast<unsigned>(shape.threads));
  grid_size = dim3(static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y),
                   static_cast<unsigned>(shape.grid_z));
  std::mt19937_64 random(seed());
  std::vector<int64_t> order(shape.grid_x * shape.grid_y * shape.grid_z);
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int64_t>(i);
  }
  std::shuffle(order.begin(), order.end(), random);
  for (const int64_t i : order) {
    const uint3 where = {static_cast<unsigned>(i % shape.grid_x),
                         static_cast<unsigned>(i / shape.grid_x % shape.grid_y),
                         static_cast<unsigned>(i / shape.grid_x / shape.grid_y)};
    Block block(shape.threads, shape.shared_bytes);
    block.run(
        [&] {
          block_index = where;
          kernel();
        },
        random);
  }
}

template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), const Launch& shape, Arguments&&... arguments) {
  const std::tuple<Parameters...> given(std::forward<Arguments>(arguments)...);
  run_grid(shape, [&] { std::apply(kernel, given); });
}

}  // namespace ras::emulated

#define threadIdx (::ras::emulated::thread_index())
#define blockIdx (::ras::emulated::block_index)
#define blockDim (::ras::emulated::block_size)
#define gridDim (::ras::emulated::grid_size)

namespace ras::emulated {

inline uint3 thread_index() {
  return {static_cast<unsigned>(current->index), 0, 0};
}

inline void whole_warp(unsigned mask) {
  if (mask != 0xffffffffu) {
    throw Fault("only whole warps are emulated");
  }
}

// What the thread in lane `lane` gives; a lane past the warp's end gives the caller's own, as on a GPU.
template <class T>
T from_lane(T value, int lane) {
  static_assert(sizeof(T) <= 8);
  Warp& warp = *current->warp;
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  warp.value[current->index % 32] = bits;
  current->block->meet_warp();
  T other = value;
  if (lane >= 0 && lane < warp.lanes) {
    std::memcpy(&other, &warp.value[lane], sizeof(T));
  }
  current->block->meet_warp();
  return other;
}

}  // namespace ras::emulated

inline void __syncthreads() {
  ras::emulated::current->block->meet_block();
}
inline int __syncthreads_or(int value) {
  return ras::emulated::current->block->vote(
      value, [](const std::vector<int>& v) { return std::any_of(v.begin(), v.end(), [](int i) { return i != 0; }); });
}
inline int __syncthreads_count(int value) {
  return ras::emulated::current->block->vote(
      value, [](const std::vector<int>& v) { return static_cast<int>(v.size() - std::count(v.begin(), v.end(), 0)); });
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  ras::emulated::whole_warp(mask);
  ras::emulated::current->block->meet_warp();
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  ras::emulated::whole_warp(mask);
  const int own = ras::emulated::current->index % 32;
  return ras::emulated::from_lane(value, own / width * width + lane % width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32) {
  ras::emulated::whole_warp(mask);
  return ras::emulated::from_lane(value, (ras::emulated::current->index % 32) ^ other);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
  ras::emulated::whole_warp(mask);
  const int own = ras::emulated::current->index % 32;
  return ras::emulated::from_lane(value, own % width + by < width ? own + by : own);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
  ras::emulated::whole_warp(mask);
  const int own = ras::emulated::current->index % 32;
  return ras::emulated::from_lane(value, own % width >= by ? own - by : own);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  ras::emulated::whole_warp(mask);
  unsigned votes = 0;
  ras::emulated::Warp& warp = *ras::emulated::current->warp;
  warp.value[ras::emulated::current->index % 32] = predicate != 0;
  ras::emulated::current->block->meet_warp();
  for (int lane = 0; lane < warp.lanes; ++lane) {
    votes |= static_cast<unsigned>(warp.value[lane]) << lane;
  }
  ras::emulated::current->block->meet_warp();
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, !predicate) == 0;
}
[[noreturn]] inline void __trap() {
  throw ras::emulated::Fault("the kernel stopped itself: an index lies outside");
}

inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return fmaf(a, b, c);
}
inline float __expf(float a) {
  return expf(a);
}
inline float __logf(float a) {
  return logf(a);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}
inline float __fsqrt_rn(float a) {
  return sqrtf(a);
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float rsqrtf(float a) {
  return 1.0f / sqrtf(a);
}
template <class To, class From>
To ras_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
inline int __float_as_int(float a) {
  return ras_bits<int>(a);
}
inline unsigned __float_as_uint(float a) {
  return ras_bits<unsigned>(a);
}
inline float __int_as_float(int a) {
  return ras_bits<float>(a);
}
inline float __uint_as_float(unsigned a) {
  return ras_bits<float>(a);
}
inline int __popc(unsigned a) {
  return __builtin_popcount(a);
}
inline int __ffs(int a) {
  return __builtin_ffs(a);
}
inline int __clz(int a) {
  return a ? __builtin_clz(static_cast<unsigned>(a)) : 32;
}
template <class T>
T __ldg(const T* address) {
  ras::emulated::check_aligned(address, sizeof(T), "__ldg");
  return *address;
}
inline int atomicMax(int* address, int value) {
  int old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(address, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
inline int atomicAdd(int* address, int value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline void __threadfence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
using std::max;
using std::min;

namespace ras {

inline unsigned char* shared_memory() {
  return emulated::current->block->shared();
}

inline void wait_for_previous_kernel() {}

inline float larger(float a, float b) {
  return b > a || std::isnan(b) ? b : a;
}

inline float exp2_flushed(float x) {
  const float y = exp2f(x);
  return y < 1.17549435e-38f ? 0.0f : y;
}

inline void copy_16_async(void* shared, const void* global, int bytes = 16) {
  emulated::check_aligned(shared, 16, "an asynchronous copy");
  emulated::check_aligned(global, 16, "an asynchronous copy");
  // From here to the wait the target holds nothing anyone may read.
  std::memset(shared, 0xFF, 16);
  emulated::current->open.push_back({shared, global, bytes});
}

inline void copies_commit() {
  emulated::current->groups.push_back(std::move(emulated::current->open));
  emulated::current->open.clear();
}

template <int kPending>
void copies_arrived() {
  auto& groups = emulated::current->groups;
  while (groups.size() > kPending) {
    for (const emulated::Copy& copy : groups.front()) {
      unsigned char bytes[16] = {};
      std::memcpy(bytes, copy.source, copy.bytes);
      std::memcpy(copy.target, bytes, 16);
    }
    groups.erase(groups.begin());
  }
}

// Matrix i's row r comes from the address that lane 8 i + r gives; lane l receives elements 2 (l % 4) and the next of
// row l / 4 of each.
inline void load_matrices(uint32_t (&matrix)[4], const void* shared_row) {
  emulated::check_aligned(shared_row, 16, "ldmatrix");
  emulated::Warp& warp = *emulated::current->warp;
  const int lane = emulated::current->index % 32;
  warp.address[lane] = shared_row;
  emulated::current->block->meet_warp();
  for (int i = 0; i < 4; ++i) {
    const auto* row = static_cast<const unsigned char*>(warp.address[8 * i + lane / 4]);
    std::memcpy(&matrix[i], row + 4 * (lane % 4), 4);
  }
  emulated::current->block->meet_warp();
}

// PTX, mma.m16n8k16 with 16-bit operands: lane 4 g + p holds of a the pairs (row g or g + 8, columns 2p and 2p + 8), of
// b the pairs (rows 2p and 2p + 8, column g), of c rows g and g + 8, columns 2p and 2p + 1.
template <class T>
void multiply_accumulate(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::Warp& warp = *emulated::current->warp;
  const int lane = emulated::current->index % 32;
  std::memcpy(warp.fragment[lane], a, sizeof(a));
  std::memcpy(warp.fragment[lane] + 4, b, sizeof(b));
  emulated::current->block->meet_warp();
  const auto value = [&](int from, int word, int half) {
    T pair[2];
    std::memcpy(pair, &warp.fragment[from][word], 4);
    return static_cast<float>(pair[half]);
  };
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int pair = k % 8 / 2, high = k / 8;
      const float left = value(4 * (row % 8) + pair, row / 8 + 2 * high, k % 2);
      const float right = value(4 * column + pair, 4 + high, k % 2);
      c[i] += left * right;
    }
  }
  emulated::current->block->meet_warp();
}

}  // namespace ras
