// Small kernels that try the stand-in itself: each uses one thing CUDA promises, or breaks one rule.
#include "case.h"
#include "kernels/launch.cuh"
#include "kernels/vector.cuh"

namespace ras::emulated {
namespace {

// out (16, 8) = a (16, 16) b^T, b (8, 16): through asynchronous copies, matrix loads and one product of a warp.
template <class T>
void product_kernel(const T* a, const T* b, float* out, bool wait) {
  T* shared = reinterpret_cast<T*>(shared_memory());
  const int lane = threadIdx.x;
  for (int i = lane; i < 48; i += 32) {
    copy_16_async(shared + 8 * i, i < 32 ? a + 8 * i : b + 8 * (i - 32));
  }
  copies_commit();
  if (wait) {
    copies_arrived<0>();
  }
  __syncthreads();
  uint32_t left[4], right[4];
  load_matrices(left, shared + lane % 16 * 16 + lane / 16 * 8);
  load_matrices(right, shared + 256 + lane % 8 * 16 + lane / 8 % 2 * 8);
  float c[4] = {};
  const uint32_t half[2] = {right[0], right[1]};
  multiply_accumulate<T>(c, left, half);
  for (int i = 0; i < 4; ++i) {
    out[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = c[i];
  }
}

// Each thread's neighbour, the warp's ballot, and how many of the block said yes.
void collectives_kernel(float* out) {
  const int i = threadIdx.x;
  out[4 * i] = __shfl_xor_sync(0xffffffffu, static_cast<float>(i), 1);
  out[4 * i + 1] = static_cast<float>(__popc(__ballot_sync(0xffffffffu, i % 3 == 0)));
  out[4 * i + 2] = static_cast<float>(__syncthreads_count(i % 5 == 0));
  out[4 * i + 3] = __shfl_down_sync(0xffffffffu, static_cast<float>(i), 4);
}

// A block sum with its barrier, or without.
void sum_kernel(float* out, bool barrier) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  shared[threadIdx.x] = 1.0f;
  if (barrier) {
    __syncthreads();
  }
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) {
    sum += shared[i];
  }
  out[threadIdx.x] = sum;
}

void apart_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

void leaving_kernel(float* out) {
  if (threadIdx.x == 3) {
    return;
  }
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

void misaligned_kernel(const float* from) {
  copy_16_async(shared_memory(), from + 1);
}

void beyond_kernel() {
  __trap();
}

void early_kernel(float* out) {
  if (threadIdx.x >= 32) {
    return;  // on a GPU threads that have ended no longer count at a barrier
  }
  __syncthreads();
  out[threadIdx.x] = 1.0f;
}

Launch block(int64_t threads, int64_t shared_bytes) {
  return {"probe_kernel", 1, 1, 1, threads, shared_bytes};
}

}  // namespace

const Registered product("probe product", [](const Case& c) {
  with_element(c.element("a"), [&](auto* of_type) {
    using T = std::remove_pointer_t<decltype(of_type)>;
    if constexpr (sizeof(T) == 2) {
      launch(product_kernel<T>, block(32, 768), Behind::kStream, nullptr, c.data<T>("a"), c.data<T>("b"),
             c.data<float>("out"), c.number("wait") != 0);
    }
  });
});
const Registered collectives("probe collectives", [](const Case& c) {
  launch(collectives_kernel, block(64, 0), Behind::kStream, nullptr, c.data<float>("out"));
});
const Registered sum("probe sum", [](const Case& c) {
  launch(sum_kernel, block(64, 256), Behind::kStream, nullptr, c.data<float>("out"), c.number("barrier") != 0);
});
const Registered apart("probe apart",
                       [](const Case&) { launch(apart_kernel, block(64, 0), Behind::kStream, nullptr); });
const Registered leaving("probe leaving", [](const Case& c) {
  launch(leaving_kernel, block(32, 0), Behind::kStream, nullptr, c.data<float>("out"));
});
const Registered misaligned("probe misaligned", [](const Case& c) {
  launch(misaligned_kernel, block(32, 16), Behind::kStream, nullptr, c.data<float>("out"));
});
const Registered beyond("probe beyond",
                        [](const Case&) { launch(beyond_kernel, block(32, 0), Behind::kStream, nullptr); });
const Registered early("probe early", [](const Case& c) {
  launch(early_kernel, block(64, 0), Behind::kStream, nullptr, c.data<float>("out"));
});
const Registered large("probe large", [](const Case& c) {
  const Launch shape = block(static_cast<int64_t>(c.number("threads")), static_cast<int64_t>(c.number("shared")));
  launch(beyond_kernel, shape, Behind::kStream, nullptr);
});

}  // namespace ras::emulated
