// How attention_peak_ is cut: the text rows are listed, their log-sum-exps found (unless given) by blocks that each
// take a tile of rows and a part of the keys, the peaks by blocks that each take a tile of visual keys and all the
// rows, and the heads summed. Every cut follows from the shape alone.
#pragma once

#include <algorithm>

#include "plan.h"

namespace ras {

constexpr int kScoreTileThreads = 128;
constexpr int kGatherThreads = 256;
constexpr int kPeakSumThreads = 256;
constexpr int64_t kWidestHead = 256;

// A block keeps `resident` rows of one operand in shared memory and streams the other by `streamed` rows at a time.
struct TileShape {
  int resident, streamed;
};

constexpr TileShape tile_shape(int64_t element_bytes) {
  return element_bytes == 4 ? TileShape{64, 32} : TileShape{128, 64};
}

// Elements of a row in shared memory: eight or sixteen chunks of 16 bytes at a time, so that they can be swizzled.
RAS_HOST_DEVICE constexpr int64_t padded_width(int64_t width) {
  return ceil_div(width, 64) * 64;
}

// Two buffers for the streamed operand where they fit beside the resident one.
RAS_HOST_DEVICE constexpr int tile_buffers(int64_t width) {
  return padded_width(width) <= 192 ? 2 : 1;
}

struct AttentionCut {
  int64_t row_tiles, key_splits, keys_per_split;

  AttentionCut(int64_t batch, int64_t n_heads, int64_t rows, int64_t keys, int64_t element_bytes) {
    constexpr int64_t kBlocks = 528, kMostSplits = 64;
    const TileShape tile = tile_shape(element_bytes);
    const int64_t key_tiles = std::max<int64_t>(ceil_div(keys, tile.streamed), 1);
    row_tiles = ceil_div(rows, tile.resident);
    const int64_t blocks = std::max<int64_t>(row_tiles * n_heads * batch, 1);
    const int64_t wanted = std::clamp<int64_t>(ceil_div(kBlocks, blocks), 1, std::min(key_tiles, kMostSplits));
    keys_per_split = ceil_div(key_tiles, wanted) * tile.streamed;
    key_splits = ceil_div(key_tiles * tile.streamed, keys_per_split);
  }
};

// Four-byte places in scratch: the listed rows and their number, two sums per row and split, a peak per visual key.
struct AttentionScratch {
  int64_t listed, count, parts, peaks, size;

  AttentionScratch(int64_t batch, int64_t n_heads, int64_t rows, int64_t visual, int64_t key_splits, bool has_lse) {
    listed = 0;
    count = listed + batch * rows;
    parts = count + batch;
    peaks = parts + (has_lse ? 0 : 2 * batch * n_heads * key_splits * rows);
    size = peaks + batch * n_heads * visual;
  }
};

// n_heads: how many are named; rows: of q, all of them counted as text. Each row of q and k is counted as read once per
// named head (grouped heads share keys, which is not taken off).
inline Plan plan_attention_peak(int64_t batch, int64_t n_heads, int64_t rows, int64_t keys, int64_t visual,
                                int64_t width, int64_t element_bytes, bool has_lse) {
  const TileShape tile = tile_shape(element_bytes);
  const AttentionCut cut(batch, n_heads, rows, keys, element_bytes);
  const AttentionScratch scratch(batch, n_heads, rows, visual, cut.key_splits, has_lse);
  const int64_t row_bytes = padded_width(width) * element_bytes;
  const int64_t tiles = row_bytes * (tile.resident + tile_buffers(width) * tile.streamed);
  const int64_t row_facts = tile_buffers(width) * tile.streamed * 8;
  const int64_t heads = batch * n_heads;
  Plan plan{{}, scratch.size * 4, 0, 0};
  plan.launches.push_back({"gather_rows_kernel", batch, 1, 1, kGatherThreads, kGatherThreads / 32 * 4});
  if (!has_lse) {
    plan.launches.push_back(
        {"partial_lse_kernel", cut.row_tiles * cut.key_splits, n_heads, batch, kScoreTileThreads, tiles});
  }
  plan.launches.push_back(
      {"peak_kernel", ceil_div(visual, tile.resident), n_heads, batch, kScoreTileThreads, tiles + row_facts});
  plan.launches.push_back({"sum_heads_kernel", ceil_div(batch * visual, kPeakSumThreads), 1, 1, kPeakSumThreads, 0});
  const int64_t read_keys = has_lse ? visual : keys;
  plan.bytes = heads * (rows + read_keys) * width * element_bytes + (has_lse ? heads * rows * 4 : 0) + batch * rows +
               batch * visual * 12;
  plan.flops = 2 * heads * rows * (has_lse ? visual : keys + visual) * width;
  return plan;
}

}  // namespace ras
