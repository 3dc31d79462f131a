// risk_score for a row of more steps than the products of all their pairs are worth: the logits are read twice.
#pragma once

#include "row_access.h"

namespace ras::cpu {

// Columns of the vocabulary that are scored together: a B = 1 score of 32k logits makes 8 tasks.
constexpr int64_t kSlice = 4096;

// From here on the second exponential of every logit costs less than the products of the pairs do.
constexpr int64_t kManySteps = 25;

// The logits of one row of the batch, and what they are compared with.
struct ScoreRow {
  simd::AnyRow logits;
  int64_t step_stride, steps, vocabulary;
  const float* target;
  const float* decay;  // weight of each step
};

// exp(max of a slice - max of all); a slice of nothing but -inf has nothing to scale.
float rescaling(float slice, float whole);

// dot / (|mixture| |target|) within -1..1, or NaN where that is no finite number.
float cosine_of(float dot, float square, float target_square);

// The first sweep finds every step's maximum and sum of exponentials, the second the products of their mixture.
float similarity_of_many(const ScoreRow& row);

}  // namespace ras::cpu
