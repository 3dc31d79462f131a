// The steering arguments that steer_ and the fused norm share.
#pragma once

#include "case.h"
#include "kernels/dose.cuh"

namespace ras::emulated {

inline SteerEntries entries_of(const Case& c) {
  ReadRows prototypes = c.read_rows("prototypes", 1);
  prototypes.aligned = prototypes.aligned && c.stride("prototypes", 0) * c.element_bytes("prototypes") % 16 == 0;
  return {
      c.data<int32_t>("rows"),   c.data<int32_t>("slot"), c.data<int32_t>("step"), c.data<float>("risk"),  prototypes,
      c.stride("prototypes", 0), c.size("rows", 0),       c.size("prototypes", 0), c.size("prototypes", 1)};
}

}  // namespace ras::emulated
