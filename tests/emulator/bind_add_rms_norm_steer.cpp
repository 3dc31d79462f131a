// add_rms_norm_steer_ on the stand-in.
#include "entries.h"
#include "kernels/add_rms_norm_steer.cuh"

namespace ras::emulated {

const Registered add_rms_norm_steer("add_rms_norm_steer_", [](const Case& c) {
  const int64_t n_rows = c.size("x", 0), hidden = c.size("x", 1);
  if (n_rows == 0 || hidden == 0) {
    return;
  }
  enqueue_add_rms_norm_steer(
      plan_add_rms_norm_steer(n_rows, hidden, c.size("rows", 0), c.element_bytes("x"),
                              c.has("residual") ? c.element_bytes("residual") : 0, c.element_bytes("out"),
                              c.element_bytes("weight"), c.element_bytes("prototypes")),
      {c.written_rows("out", 0), c.read_rows("x", 0), c.written_rows("residual", 0), c.read_rows("weight", 0),
       entries_of(c), n_rows, hidden, static_cast<float>(c.number("eps"))},
      nullptr);
});

}  // namespace ras::emulated
