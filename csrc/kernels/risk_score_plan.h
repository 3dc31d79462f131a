// How risk_score is cut: the vocabulary into slices of fixed size, a block a slice. The cut knows neither the batch nor
// the GPU, so a row has the same bits alone and in any batch, on any GPU.
#pragma once

#include <algorithm>

#include "plan.h"

namespace ras {

constexpr int kScoreThreads = 256;
constexpr int kScoreMergeThreads = 32;
constexpr int64_t kScoreSlice = 4096;
constexpr int64_t kScoreFewSteps = 8;  // up to here one read of the logits suffices

// Steps the kernel is compiled for that hold `steps`.
inline int64_t score_step_slots(int64_t steps) {
  return steps <= 1 ? 1 : steps <= 3 ? 3 : steps <= 5 ? 5 : kScoreFewSteps;
}

// Floats of one part: maximum, sum and dot of every step, products of every pair, and the prototype's square.
constexpr int score_part_floats(int slots) {
  return 3 * slots + slots * (slots + 1) / 2 + 1;
}

// Any slice that is a multiple of 16 gives the same result, to a rounding.
inline Plan cut_risk_score(int64_t batch, int64_t steps, int64_t vocabulary, int64_t logit_bytes, int64_t slice) {
  const int64_t slices = ceil_div(vocabulary, slice);
  const int64_t warps = kScoreThreads / 32, floats = sizeof(float);
  const int64_t prototype = vocabulary * floats, logits = batch * steps * vocabulary * logit_bytes;
  const int64_t results = batch * 3 * floats;  // length in, similarity and risk out
  if (steps <= kScoreFewSteps) {
    const int64_t part = score_part_floats(static_cast<int>(score_step_slots(steps)));
    return {{{"score_slices_kernel", slices, batch, 1, kScoreThreads, warps * part * floats},
             {"score_merge_kernel", batch, 1, 1, kScoreMergeThreads, 0}},
            batch * slices * part * floats,
            logits + prototype + results,
            batch * vocabulary * (4 * steps + steps * (steps + 1) + 2)};
  }
  // Two reads: maxima and sums of every step, then the mixture.
  return {{{"score_softmax_kernel", slices, steps, batch, kScoreThreads, warps * floats},
           {"score_mixture_kernel", slices, batch, 1, kScoreThreads, (2 * steps + 3 * warps) * floats},
           {"score_mixture_merge_kernel", batch, 1, 1, kScoreMergeThreads, 0}},
          batch * slices * (2 * steps + 3) * floats,
          2 * logits + prototype + results,
          batch * vocabulary * (6 * steps + 6)};
}

inline Plan plan_risk_score(int64_t batch, int64_t steps, int64_t vocabulary, int64_t logit_bytes) {
  return cut_risk_score(batch, steps, vocabulary, logit_bytes, kScoreSlice);
}

}  // namespace ras
