// region_risk on the stand-in.
#include "case.h"
#include "kernels/region_risk.cuh"

namespace ras::emulated {

const Registered region_risk("region_risk", [](const Case& c) {
  const int64_t batch = c.size("hidden", 0), tokens = c.size("hidden", 1), width = c.size("hidden", 2);
  const auto n_regions = static_cast<int64_t>(c.number("n_regions"));
  if (batch == 0) {
    return;
  }
  const Plan plan = plan_region_risk(batch, tokens, width, n_regions, c.element_bytes("hidden"), c.has("center"));
  Scratch scratch(plan);
  ReadRows states = c.read_rows("hidden", 1);
  states.aligned = states.aligned && c.stride("hidden", 0) * c.element_bytes("hidden") % 16 == 0;
  const float *direction = c.data<float>("direction"), *center = c.data<float>("center");
  enqueue_region_risk(
      plan,
      {c.data<float>("attention"), states, direction, center, c.data<int32_t>("region"), c.data<float>("mass"),
       c.data<float>("region_risk"), c.data<float>("pooled"), scratch.data(), batch, tokens, width, n_regions,
       c.stride("attention", 0), c.stride("region", 0), c.stride("hidden", 0), static_cast<float>(c.number("slope")),
       static_cast<float>(c.number("bias")), aligned_16(direction) && aligned_16(center)},
      nullptr);
});

}  // namespace ras::emulated
