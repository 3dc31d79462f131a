// Memory of a call and of a thread of attention_peak_: uninitialised floats at a cache line, freed on leaving.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "score_tile.h"

namespace ras::cpu {

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};
using Floats = std::unique_ptr<float[], Free>;

inline Floats floats(int64_t count) {
  constexpr int64_t kLine = 64;
  auto* memory = static_cast<float*>(std::aligned_alloc(kLine, (count * sizeof(float) / kLine + 1) * kLine));
  if (!memory) {
    throw std::bad_alloc();
  }
  return Floats(memory);
}

// One thread's: queries and keys as the products read them, a block's scores, the visual keys' scores of a tile where
// they wait for the log-sum-exp, and the tile's peaks.
template <class T>
struct Workspace {
  Workspace(int64_t width, int64_t columns, bool keeps)
      : queries(floats(TileMemory<T>::query_floats(width))),
        keys(floats(TileMemory<T>::key_floats(width))),
        scores(floats(kBlockKeys * kTileRows)),
        kept(floats(keeps ? columns * kTileRows : 0)),
        peak(floats(columns)) {}

  Floats queries, keys, scores, kept, peak;
};

}  // namespace ras::cpu
