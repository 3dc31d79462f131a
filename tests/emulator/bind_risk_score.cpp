// risk_score on the stand-in. A number `slice` cuts the vocabulary otherwise than the operator does.
#include "case.h"
#include "kernels/risk_score.cuh"

namespace ras::emulated {

const Registered risk_score("risk_score", [](const Case& c) {
  const int64_t batch = c.size("logits", 0), steps = c.size("logits", 1), vocabulary = c.size("logits", 2);
  if (batch == 0) {
    return;
  }
  const auto slice = c.numbers.count("slice") ? static_cast<int64_t>(c.number("slice")) : kScoreSlice;
  const Plan plan = cut_risk_score(batch, steps, vocabulary, c.element_bytes("logits"), slice);
  Scratch scratch(plan);
  with_element(c.element("logits"), [&](auto* of_type) {
    using T = std::remove_pointer_t<decltype(of_type)>;
    const T* logits = c.data<T>("logits");
    const float* prototype = c.data<float>("prototype");
    const int64_t row_stride = c.stride("logits", 0), step_stride = c.stride("logits", 1);
    const bool aligned = aligned_rows(logits, row_stride) && aligned_rows(logits, step_stride) && aligned_16(prototype);
    enqueue_risk_score(
        plan,
        ScoreArguments<T>{logits, c.data<int32_t>("length"), prototype, c.data<float>("similarity"),
                          c.data<float>("risk"), scratch.data(), row_stride, step_stride, steps, vocabulary, slice,
                          static_cast<float>(c.number("gamma")), static_cast<float>(c.number("alpha")),
                          static_cast<float>(c.number("s_base")), aligned},
        nullptr);
  });
});

}  // namespace ras::emulated
