// steer_: checks, dispatch on the two types, launch.
#include "../contract/steer.h"
#include "../kernels/steer.cuh"
#include "dispatch.h"
#include "ops.h"

namespace ras::cuda {

void steer_(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
            const Tensor& risk) {
  check_steer(x, rows, prototypes, slot, step, risk);
  const int64_t batch = rows.size(0), hidden = x.size(1);
  if (batch == 0 || hidden == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  const Plan plan = plan_steer(batch, hidden, element_bytes(x), element_bytes(prototypes));
  check_grid(plan, "rows must name fewer rows", batch);
  with_type(x.scalar_type(), [&](auto x_type) {
    with_type(prototypes.scalar_type(), [&](auto prototype_type) {
      using X = typename decltype(x_type)::type;
      using P = typename decltype(prototype_type)::type;
      const SteerArguments<X, P> arguments{static_cast<X*>(x.mutable_data_ptr()),
                                           static_cast<const P*>(prototypes.const_data_ptr()),
                                           rows.const_data_ptr<int32_t>(),
                                           slot.const_data_ptr<int32_t>(),
                                           step.const_data_ptr<int32_t>(),
                                           risk.const_data_ptr<float>(),
                                           x.stride(0),
                                           prototypes.stride(0),
                                           prototypes.stride(1),
                                           x.size(0),
                                           prototypes.size(0),
                                           prototypes.size(1),
                                           hidden};
      enqueue_steer(plan, arguments, current_stream(x));
    });
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace ras::cuda
