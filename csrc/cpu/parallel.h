// Independent tasks on torch's own threads. No task writes what another reads, so the number of threads never changes a
// result.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

#include "simd.h"

namespace ras {

// Rows of `width` elements worth handing to another thread together.
inline int64_t grain(int64_t width) {
  constexpr int64_t kElements = 32768;
  return width >= kElements ? 1 : kElements / (width > 0 ? width : 1);
}

// Runs chunk(begin, end) for ranges that together are 0 ... count - 1, each of at least `grain` where there are that
// many. What a thread needs for its work is made once in each.
template <class Chunk>
void run_chunks(int64_t count, int64_t grain, const Chunk& chunk) {
  simd::best_isa();  // here rather than in a thread: what it throws reaches the caller in its own words
  torch::stable::parallel_for(0, count, grain, chunk);
}

// Runs task(0) ... task(count - 1), at least `grain` of them on a thread.
template <class Task>
void run_tasks(int64_t count, int64_t grain, const Task& task) {
  run_chunks(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      task(i);
    }
  });
}

}  // namespace ras
