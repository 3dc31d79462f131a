// The machine a kernel runs on: CUDA's own headers, and the few instructions and facts the language has no name for.
// Kernels include this and no torch header, so that a host can stand in for the GPU: it defines RAS_EMULATOR as a
// header that gives every name below, and those of CUDA that the kernels use, a meaning of its own.
//
// Rules that keep the stand-in honest: all shared memory is the block's dynamic one, and inline PTX stays in here.
#pragma once

#ifdef RAS_EMULATOR
#include RAS_EMULATOR
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace ras {

// The block's dynamic shared memory, 128-byte aligned.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char ras_shared[];
  return ras_shared;
}

// Returns once the kernel launched before this one on the stream has finished and its writes are visible. Free where
// the launch was an ordinary one.
__device__ inline void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

// The larger of two, where a NaN wins: a broken score must not hide behind a sound one.
__device__ inline float larger(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;\n" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

// cp.async: 16 bytes from global to shared memory, both 16-byte aligned; the last `16 - bytes` are zeros. Nothing may
// be read before copies_arrived and a barrier.
__device__ inline void copy_16_async(void* shared, const void* global, int bytes = 16) {
  const auto target = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(target), "l"(global), "r"(bytes) : "memory");
}

// Closes a group of copies.
__device__ inline void copies_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most kPending of this thread's groups are still on their way.
template <int kPending>
__device__ inline void copies_arrived() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16-bit values; lane i gives the address of row i % 8 of matrix i / 8 (16-byte aligned, shared).
__device__ inline void load_matrices(uint32_t (&matrix)[4], const void* shared_row) {
  const auto source = static_cast<uint32_t>(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(source)
               : "memory");
}

// c (16x8, f32) += a (16x16) b (16x8), in the register layout of PTX's mma.m16n8k16.
template <class T>
__device__ void multiply_accumulate(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <>
__device__ inline void multiply_accumulate<__half>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ inline void multiply_accumulate<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4],
                                                          const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 2^x within two units in the last place; what would lie below the normal numbers is 0.
__device__ inline float exp2_flushed(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace ras

#endif  // RAS_EMULATOR
