// What this library was built for, told by the library itself: nvcc lists the architectures it compiles.
#include <string>

namespace ras::cuda {

std::string cuda_archs() {
  constexpr int kArchs[] = {__CUDA_ARCH_LIST__};
  std::string text;
  for (const int arch : kArchs) {
    text += (text.empty() ? "" : " ") + std::to_string(arch / 100) + "." + std::to_string(arch / 10 % 10);
  }
  return text;
}

}  // namespace ras::cuda
