// risk_score: checks, dispatch on the logits' type, launch.
#include "../contract/risk_score.h"
#include "../kernels/risk_score.cuh"
#include "dispatch.h"
#include "ops.h"

namespace ras::cuda {

std::tuple<Tensor, Tensor> risk_score(const Tensor& logits, const Tensor& length, const Tensor& prototype, double gamma,
                                      double alpha, double s_base) {
  check_risk_score(logits, length, prototype, gamma, alpha, s_base);
  const int64_t batch = logits.size(0), steps = logits.size(1), vocabulary = logits.size(2);
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  Tensor similarity = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  Tensor risk = torch::stable::new_empty(logits, {batch}, ScalarType::Float);
  if (batch == 0) {
    return {similarity, risk};
  }
  const Plan plan = plan_risk_score(batch, steps, vocabulary, element_bytes(logits));
  check_grid(plan, "logits must have fewer rows or steps", batch);
  const Tensor parts = scratch(plan, logits);
  with_type(logits.scalar_type(), [&](auto type) {
    using T = typename decltype(type)::type;
    const auto* data = static_cast<const T*>(logits.const_data_ptr());
    const auto* target = prototype.const_data_ptr<float>();
    const int64_t row_stride = logits.stride(0), step_stride = logits.stride(1);
    const bool aligned = aligned_rows(data, row_stride) && aligned_rows(data, step_stride) && aligned_16(target);
    enqueue_risk_score(
        plan,
        ScoreArguments<T>{data, length.const_data_ptr<int32_t>(), target, similarity.mutable_data_ptr<float>(),
                          risk.mutable_data_ptr<float>(), parts.mutable_data_ptr<float>(), row_stride, step_stride,
                          steps, vocabulary, kScoreSlice, static_cast<float>(gamma), static_cast<float>(alpha),
                          static_cast<float>(s_base), aligned},
        current_stream(logits));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {similarity, risk};
}

}  // namespace ras::cuda
