// add_rms_norm_steer_: checks and launch.
#include "../contract/add_rms_norm_steer.h"
#include "../kernels/add_rms_norm_steer.cuh"
#include "entries.h"
#include "ops.h"

namespace ras::cuda {

void add_rms_norm_steer_(const Tensor& out, const Tensor& x, const std::optional<Tensor>& residual,
                         const Tensor& weight, double eps, const Tensor& rows, const Tensor& prototypes,
                         const Tensor& slot, const Tensor& step, const Tensor& risk) {
  check_add_rms_norm_steer(out, x, residual, weight, eps, rows, prototypes, slot, step, risk);
  const int64_t n_rows = x.size(0), hidden = x.size(1);
  if (n_rows == 0 || hidden == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  const Plan plan =
      plan_add_rms_norm_steer(n_rows, hidden, rows.size(0), element_bytes(x), residual ? element_bytes(*residual) : 0,
                              element_bytes(out), element_bytes(weight), element_bytes(prototypes));
  check_grid(plan, "x must have fewer rows", n_rows);
  enqueue_add_rms_norm_steer(
      plan,
      {written_rows(out, 0), read_rows(x, 0), residual ? written_rows(*residual, 0) : WrittenRows{},
       read_rows(weight, 0), entries_of(rows, prototypes, slot, step, risk), n_rows, hidden, static_cast<float>(eps)},
      current_stream(x));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace ras::cuda
