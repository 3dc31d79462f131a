// Registers the CUDA implementations. The schemas come with the CPU library, which is always loaded first.
#include "ops.h"

#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(ras_ext, m) {
  m.def("cuda_archs() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(ras_ext, CompositeExplicitAutograd, m) {
  m.impl("cuda_archs", TORCH_BOX(&ras::cuda::cuda_archs));
}

STABLE_TORCH_LIBRARY_IMPL(ras_ext, CUDA, m) {
  m.impl("attention_peak_", TORCH_BOX(&ras::cuda::attention_peak_));
  m.impl("region_risk", TORCH_BOX(&ras::cuda::region_risk));
  m.impl("risk_score", TORCH_BOX(&ras::cuda::risk_score));
  m.impl("add_rms_norm_steer_", TORCH_BOX(&ras::cuda::add_rms_norm_steer_));
  m.impl("steer_", TORCH_BOX(&ras::cuda::steer_));
}
