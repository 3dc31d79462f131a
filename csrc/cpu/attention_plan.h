// What attention_peak_ looks at, worked out before any thread starts: for each row of the batch its visual keys and the
// text rows that see a key, and the tiles of rows, which are the tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "score_tile.h"

namespace ras::cpu {

// What one row of the batch looks at.
struct Sight {
  int64_t first, past;          // its real keys
  std::vector<int32_t> visual;  // positions of the visual keys among them, ascending, each once
  std::vector<int32_t> rows;    // text rows that see a key
};

struct Tile {
  int64_t b, head, peaks;  // peaks: which (b, place in heads)
  int64_t begin, end;      // of Sight::rows
};

// Columns outside the key range, and pads, are not looked at.
inline Sight look(const int32_t* column, int64_t columns, const bool* is_text, int64_t n_rows, int64_t first,
                  int64_t past, int64_t offset) {
  Sight sight{first, past, {}, {}};
  for (int64_t t = std::max<int64_t>(0, first - offset); t < n_rows && first < past; ++t) {
    if (is_text[t]) {
      sight.rows.push_back(static_cast<int32_t>(t));
    }
  }
  std::vector<int32_t>& visual = sight.visual;
  std::copy_if(column, column + columns, std::back_inserter(visual),
               [&](int32_t key) { return key >= first && key < past; });
  if (!std::is_sorted(visual.begin(), visual.end())) {
    std::sort(visual.begin(), visual.end());
  }
  visual.erase(std::unique(visual.begin(), visual.end()), visual.end());
  return sight;
}

// Tiles of every head; smaller ones where there are few, so that more threads find work. A row's result does not depend
// on who shares its tile.
inline std::vector<Tile> tiles_of(const std::vector<Sight>& sights, const int32_t* head, int64_t n_heads) {
  constexpr size_t kEnough = 8;
  std::vector<Tile> tiles;
  for (int64_t size = kTileRows; size >= kPanelRows && tiles.size() < kEnough; size /= 2) {
    tiles.clear();
    for (size_t b = 0; b < sights.size(); ++b) {
      const auto n_rows = static_cast<int64_t>(sights[b].rows.size());
      for (int64_t i = 0; i < n_heads; ++i) {
        for (int64_t begin = 0; begin < n_rows; begin += size) {
          const auto at = static_cast<int64_t>(b);
          tiles.push_back({at, head[i], at * n_heads + i, begin, std::min(begin + size, n_rows)});
        }
      }
    }
  }
  return tiles;
}

}  // namespace ras::cpu
