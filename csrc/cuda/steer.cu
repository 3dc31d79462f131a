// steer_: checks and launch.
#include "../contract/steer.h"
#include "../kernels/steer.cuh"
#include "entries.h"
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
  enqueue_steer(plan, {written_rows(x, 0), entries_of(rows, prototypes, slot, step, risk), x.size(0), hidden},
                current_stream(x));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace ras::cuda
