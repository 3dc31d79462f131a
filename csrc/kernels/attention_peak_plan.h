// How attention_peak_ is cut. Both passes multiply a block of rows held still (a split's text rows, then visual keys)
// with tiles that stream by (keys, then text rows):
//
// partial_lse_kernel, (row blocks x key splits, heads, batch): per text row a partial log-sum-exp over one split.
// peak_kernel, (visual blocks, heads, batch): per visual key the largest probability, then their sum over heads.
//
// Where the log-sum-exp is given, gather_rows_kernel, (1, 1, batch), only lists the text rows and stands for the first.
#pragma once

#include <algorithm>

#include "plan.h"

namespace ras {

constexpr int kPeakThreads = 128;
constexpr int64_t kWidestHead = 256;

// Head dimensions are filled with zeros up to the next of three; wider ones have no kernel.
constexpr int64_t peak_padded_width(int64_t width) {
  return width <= 64 ? 64 : width <= 128 ? 128 : kWidestHead;
}

// What a block of threads holds, for one padded width and element size. A warp computes 16 m_tiles x 8 n_tiles scores
// at a time. 16-bit rows held still move into registers, so that their shared memory serves the stream afterwards.
struct PeakTile {
  int64_t m_tiles, n_tiles;
  int64_t block_rows;   // held still
  int64_t stage_rows;   // streamed at a time
  int64_t stages;       // of them on their way or in use
  int64_t still_bytes;  // beside the stages
  int64_t side_bytes;   // row numbers and log-sum-exps
  int64_t shared_bytes;
  int blocks;  // meant to share a multiprocessor: what bounds a thread's registers
};

constexpr PeakTile peak_tile(int64_t padded_width, int64_t element_bytes) {
  PeakTile tile{};
  tile.m_tiles = padded_width <= 128 ? 2 : 1;
  tile.n_tiles = padded_width * element_bytes <= 512 ? 4 : 2;
  tile.block_rows = 16 * tile.m_tiles * (kPeakThreads / 32);
  tile.stage_rows = std::min<int64_t>(64, 16384 / (padded_width * element_bytes));
  tile.stages = element_bytes == 2 ? 3 : 2;
  tile.still_bytes = element_bytes == 2 ? 0 : tile.block_rows * padded_width * element_bytes;
  tile.side_bytes = 1024;  // two blocks of 16-bit rows then fit a multiprocessor of 100 KB
  tile.shared_bytes = tile.still_bytes + tile.stages * tile.stage_rows * padded_width * element_bytes + tile.side_bytes;
  tile.blocks = element_bytes == 4 ? 2 : padded_width == 64 ? 4 : 3;
  return tile;
}

// The cut of one shape, and where in the scratch memory each thing lies (byte offsets).
struct PeakCut {
  int64_t row_blocks, visual_blocks;
  int64_t splits, split_keys;
  int64_t arrivals;       // (batch, visual_blocks) i32: heads that have finished a visual block
  int64_t count;          // (batch) i32: text rows
  int64_t list;           // (batch, rows) i32: their numbers, ascending
  int64_t partials;       // (batch, heads, splits, rows) (f32, f32): largest score and sum of a split, base 2
  int64_t probabilities;  // (batch, heads, visual) f32
  int64_t scratch_bytes;
};

inline PeakCut cut_attention_peak(int64_t batch, int64_t n_heads, int64_t rows, int64_t keys, int64_t visual,
                                  int64_t width, int64_t element_bytes, bool has_lse) {
  const PeakTile tile = peak_tile(peak_padded_width(width), element_bytes);
  PeakCut cut{};
  cut.row_blocks = ceil_div(rows, tile.block_rows);
  cut.visual_blocks = ceil_div(visual, tile.block_rows);

  // Enough blocks that the last, part-filled round of them weighs little, but at least two tiles of keys for each, and
  // no more partial results than are quickly merged.
  constexpr int64_t kBlocks = 2048, kSplits = 32;
  const int64_t tiles = ceil_div(keys, tile.stage_rows);
  const int64_t wanted = ceil_div(kBlocks, std::max<int64_t>(1, cut.row_blocks * n_heads * batch));
  const int64_t most = std::clamp<int64_t>(tiles / 2, 1, kSplits);
  cut.split_keys = ceil_div(tiles, std::clamp<int64_t>(wanted, 1, most)) * tile.stage_rows;
  cut.splits = has_lse ? 0 : ceil_div(keys, std::max<int64_t>(1, cut.split_keys));

  const auto take = [&cut](int64_t bytes) {
    const int64_t at = cut.scratch_bytes;
    cut.scratch_bytes += ceil_div(bytes, 16) * 16;
    return at;
  };
  cut.arrivals = take(batch * cut.visual_blocks * 4);
  cut.count = take(batch * 4);
  cut.list = take(batch * rows * 4);
  cut.partials = take(batch * n_heads * cut.splits * rows * 8);
  cut.probabilities = take(batch * n_heads * visual * 4);
  return cut;
}

// n_heads: how many are named; rows: of q, all of them counted as text. Each row of q and k is counted as read once per
// named head (grouped heads share keys, which is not taken off).
inline Plan plan_attention_peak(int64_t batch, int64_t n_heads, int64_t rows, int64_t keys, int64_t visual,
                                int64_t width, int64_t element_bytes, bool has_lse) {
  const PeakTile tile = peak_tile(peak_padded_width(width), element_bytes);
  const PeakCut cut = cut_attention_peak(batch, n_heads, rows, keys, visual, width, element_bytes, has_lse);
  Plan plan{};
  if (has_lse) {
    plan.launches.push_back({"gather_rows_kernel", 1, 1, batch, kPeakThreads, tile.side_bytes});
  } else {
    plan.launches.push_back(
        {"partial_lse_kernel", cut.row_blocks * cut.splits, n_heads, batch, kPeakThreads, tile.shared_bytes});
  }
  plan.launches.push_back({"peak_kernel", cut.visual_blocks, n_heads, batch, kPeakThreads, tile.shared_bytes});
  plan.scratch_bytes = cut.scratch_bytes;

  const int64_t heads = batch * n_heads, read_keys = has_lse ? visual : keys;
  plan.bytes = heads * (rows + read_keys) * width * element_bytes + (has_lse ? heads * rows * 4 : 0) + batch * rows +
               batch * visual * 12;
  plan.flops = 2 * heads * rows * (has_lse ? visual : keys + visual) * width;
  return plan;
}

}  // namespace ras
