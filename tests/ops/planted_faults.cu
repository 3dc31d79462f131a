// Two kernels with a fault each, for the sanitizers of `make gpu-check`: a tool that is silent about these, watched as
// our kernels are (by the namespace), would say nothing about ours either.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

namespace ras {

// Writes one element past the end of x.
__global__ void overrun_kernel(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) {
    x[i] = 1.0f;
  }
}

// Reads what another warp writes, without a barrier in between.
__global__ void race_kernel(float* x) {
  extern __shared__ float value[];
  value[threadIdx.x] = static_cast<float>(threadIdx.x);
  x[threadIdx.x] = value[blockDim.x - 1 - threadIdx.x];
}

}  // namespace ras

int main(int count, char** words) {
  constexpr int kThreads = 128;
  const bool race = count > 1 && std::strcmp(words[1], "race") == 0;
  float* x = nullptr;
  cudaMalloc(&x, kThreads * sizeof(float));
  if (race) {
    ras::race_kernel<<<1, kThreads, kThreads * sizeof(float)>>>(x);
  } else {
    ras::overrun_kernel<<<2, kThreads>>>(x, kThreads);
  }
  const cudaError_t error = cudaDeviceSynchronize();
  std::printf("%s: %s\n", race ? "race" : "overrun", cudaGetErrorString(error));
  cudaFree(x);
  return 0;
}
