// region_risk: checks and launch.
#include "../contract/region_risk.h"
#include "../kernels/region_risk.cuh"
#include "dispatch.h"
#include "ops.h"

namespace ras::cuda {

std::tuple<Tensor, Tensor, Tensor> region_risk(const Tensor& attention, const Tensor& hidden, const Tensor& direction,
                                               const std::optional<Tensor>& center, double slope, double bias,
                                               const Tensor& region, int64_t n_regions) {
  check_region_risk(attention, hidden, direction, center, slope, bias, region, n_regions);
  const int64_t batch = hidden.size(0), tokens = hidden.size(1), width = hidden.size(2);
  const torch::stable::accelerator::DeviceGuard guard(hidden.get_device_index());
  Tensor mass = torch::stable::new_empty(hidden, {batch, n_regions}, ScalarType::Float);
  Tensor risk = torch::stable::new_empty(hidden, {batch, n_regions}, ScalarType::Float);
  Tensor pooled = torch::stable::new_empty(hidden, {batch}, ScalarType::Float);
  if (batch == 0) {
    return {mass, risk, pooled};
  }
  const Plan plan = plan_region_risk(batch, tokens, width, n_regions, element_bytes(hidden), center.has_value());
  check_grid(plan, "hidden must have fewer rows", batch);
  const Tensor token = scratch(plan, hidden);
  ReadRows states = read_rows(hidden, 1);
  states.aligned = states.aligned && hidden.stride(0) * element_bytes(hidden) % 16 == 0;
  const float* toward = direction.const_data_ptr<float>();
  const float* from = center ? center->const_data_ptr<float>() : nullptr;
  enqueue_region_risk(
      plan,
      {attention.const_data_ptr<float>(), states, toward, from, region.const_data_ptr<int32_t>(),
       mass.mutable_data_ptr<float>(), risk.mutable_data_ptr<float>(), pooled.mutable_data_ptr<float>(),
       token.mutable_data_ptr<float>(), batch, tokens, width, n_regions, attention.stride(0), region.stride(0),
       hidden.stride(0), static_cast<float>(slope), static_cast<float>(bias), aligned_16(toward) && aligned_16(from)},
      current_stream(hidden));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {mass, risk, pooled};
}

}  // namespace ras::cuda
