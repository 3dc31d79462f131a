// How an operator is cut into kernel launches, in plain C++: the code that launches, the host that stands in for a GPU
// in the tests, and the benchmarks (through Python) all read the same numbers.
#pragma once

#include <cstdint>
#include <vector>

// For the few sizes that a kernel works out as its launch did.
#ifdef __CUDACC__
#define RAS_HOST_DEVICE __host__ __device__
#else
#define RAS_HOST_DEVICE
#endif

namespace ras {

struct Launch {
  const char* kernel;
  int64_t grid_x, grid_y, grid_z;
  int64_t threads;
  int64_t shared_bytes;  // dynamic; kernels use no other shared memory
};

struct Plan {
  std::vector<Launch> launches;  // in stream order
  int64_t scratch_bytes;         // handed from one launch to the next
  int64_t bytes;                 // that must move between memory and the chip, each input and output counted once
  int64_t flops;                 // additions and multiplications; an exponential counts as one
};

RAS_HOST_DEVICE constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace ras
