// Which of the compiled instruction sets the kernels run on: the widest this machine has (x86-64-v4 is AVX-512, v3 is
// AVX2), or at most what RAS_EXT_ISA names. The results are the same to the bit but for risk_score and attention_peak_,
// which are near; the variable is there to show it, and to tell a fault of the machine from one of the code.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "../check.h"
#include "simd.h"

namespace ras::simd {
namespace {

Isa machine_isa() {
#if RAS_X86_LEVELS
  if (__builtin_cpu_supports("x86-64-v4")) {
    return Isa::kV4;
  }
  if (__builtin_cpu_supports("x86-64-v3")) {
    return Isa::kV3;
  }
#endif
  return Isa::kBaseline;
}

Isa wanted_isa() {
  const char* name = std::getenv("RAS_EXT_ISA");
  const std::string_view wanted = name ? name : "";
  RAS_CHECK(wanted.empty() || wanted == "v4" || wanted == "v3" || wanted == "baseline",
            "RAS_EXT_ISA must be v4, v3, baseline or unset, got ", wanted);
  return wanted == "baseline" ? Isa::kBaseline : wanted == "v3" ? Isa::kV3 : Isa::kV4;
}

}  // namespace

Isa best_isa() {
  static const Isa best = std::min(machine_isa(), wanted_isa());
  return best;
}

}  // namespace ras::simd
