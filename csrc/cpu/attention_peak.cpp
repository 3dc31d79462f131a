// attention_peak_: acc[b, j] += weight * sum_{h in heads} max_{t in text rows} softmax(q k^T scale)[t, visual_j].
//
// max_t exp(s_tj - L_t) = exp(max_t (s_tj - L_t)), so with the log-sum-exp L a visual key needs one exponential, and
// one pass over the keys serves both: a tile of up to 64 text rows keeps its scores of the visual keys alone until L is
// known. With L given only the visual keys are multiplied at all. Memory grows with the keys or with the rows, never
// with their product. Tiles are independent; their peaks meet in a maximum, so threads change no bit.
// A score is a sum of hundreds of products, half as fast without fused multiply-add; so machines without it, and those
// with matrix tiles, differ in the last places.
#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <vector>

#include "../contract/attention_peak.h"
#include "attention_memory.h"
#include "attention_plan.h"
#include "attention_rows.h"
#include "ops.h"
#include "parallel.h"

namespace ras::cpu {
namespace {

struct Call {
  const Tensor& q;
  const Tensor& k;
  const std::optional<Tensor>& lse;
  float scale;
  int64_t offset;
  int64_t columns;
  std::vector<Sight> sights;
  std::vector<Tile> tiles;
  Floats peaks;                        // [b, place in heads][i of Sight::visual]
  std::unique_ptr<std::mutex[]> turn;  // to write a row of peaks
};

TextRows text_rows_of(const Call& call, const Tile& tile) {
  const Sight& sight = call.sights[tile.b];
  TextRows rows;
  rows.count = tile.end - tile.begin;
  rows.open = sight.past;
  const int64_t lanes = rows.panels() * kPanelRows;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    const int32_t t = sight.rows[std::min(tile.begin + lane, tile.end - 1)];
    const int64_t past = std::min(sight.past, t + call.offset + 1);
    rows.row[lane] = t;
    rows.row_past[lane] = static_cast<int32_t>(past);
    rows.open = std::min(rows.open, past);
    rows.past = std::max(rows.past, past);
    if (call.lse) {
      rows.lse[lane] =
          call.lse->const_data_ptr<float>()[tile.b * call.lse->stride(0) + tile.head * call.lse->stride(1) + t];
    }
  }
  return rows;
}

// Scores of all keys the tile sees, those of its visual keys kept, and the rows' log-sum-exp.
template <int kBytes, class T>
RAS_INLINE void score_all_keys(const Call& call, const Sight& sight, const ScoreTile<kBytes, T>& tile,
                               const Keys<T>& keys, TextRows& rows, const Workspace<T>& memory) {
  RunningSum sum;
  auto visual = sight.visual.begin();
  float* kept = memory.kept.get();
  for (int64_t key = sight.first; key < rows.past; key += kBlockKeys) {
    const KeyBlock block{nullptr, key, std::min(kBlockKeys, rows.past - key)};
    tile.multiply(keys, block, memory.scores.get());
    for (; visual != sight.visual.end() && *visual < key + block.count; ++visual, kept += kTileRows) {
      std::memcpy(kept, memory.scores.get() + (*visual - key) * kTileRows, rows.panels() * kPanelRows * sizeof(float));
    }
    sum.template add<kBytes>(memory.scores.get(), block, rows, call.scale);
  }
  sum.log(rows.lse, rows.panels() * kPanelRows);
}

template <int kBytes, class T>
RAS_INLINE void run_tile(const Call& call, const Tile& tile, const Workspace<T>& memory) {
  const Sight& sight = call.sights[tile.b];
  TextRows rows = text_rows_of(call, tile);
  const int64_t visual = std::lower_bound(sight.visual.begin(), sight.visual.end(), rows.past) - sight.visual.begin();
  if (visual == 0) {
    return;
  }
  const T* q =
      static_cast<const T*>(call.q.const_data_ptr()) + tile.b * call.q.stride(0) + tile.head * call.q.stride(1);
  const int64_t q_row = call.q.stride(2), width = call.q.size(3);
  const auto query_at = [&](int64_t lane) RAS_ALWAYS_INLINE { return q + rows.row[lane] * q_row; };
  const ScoreTile<kBytes, T> scores(query_at, rows.count, width, {memory.queries.get(), memory.keys.get()});

  const int64_t kv_head = tile.head / (call.q.size(1) / call.k.size(1));
  const Keys<T> keys{
      static_cast<const T*>(call.k.const_data_ptr()) + tile.b * call.k.stride(0) + kv_head * call.k.stride(1),
      call.k.stride(2), width};
  if (!call.lse) {
    score_all_keys<kBytes, T>(call, sight, scores, keys, rows, memory);
  }
  float* peak = memory.peak.get();
  for (int64_t i = 0; i < visual; i += kBlockKeys) {
    const KeyBlock block{sight.visual.data() + i, 0, std::min(kBlockKeys, visual - i)};
    const float* at = memory.kept.get() + i * kTileRows;
    if (call.lse) {
      scores.multiply(keys, block, memory.scores.get());
      at = memory.scores.get();
    }
    find_peaks<kBytes>(at, block, rows, call.scale, peak + i);
  }
  float* together = call.peaks.get() + tile.peaks * call.columns;
  const std::lock_guard<std::mutex> lock(call.turn[tile.peaks]);
  for (int64_t i = 0; i < visual; ++i) {
    together[i] = lanes::larger(together[i], peak[i]);
  }
}

template <class T>
void run_tiles(const Call& call) {
  torch::stable::parallel_for(0, static_cast<int64_t>(call.tiles.size()), 1, [&](int64_t begin, int64_t end) {
    const Workspace<T> memory(call.q.size(3), call.columns, !call.lse);
    const amx::Tiles<T> tiles;
    simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
      for (int64_t i = begin; i < end; ++i) {
        run_tile<kBytes, T>(call, call.tiles[i], memory);
      }
    });
  });
}

// acc += weight * sum over heads of exp(peak), heads in the order they are named.
void add_up(const Call& call, int64_t n_heads, const int32_t* column, int64_t columns, float weight, int64_t b,
            float* out) {
  const std::vector<int32_t>& visual = call.sights[b].visual;
  const auto count = static_cast<int64_t>(visual.size());
  const Floats sum = floats(count + simd::kLanes);
  simd::on_best_isa([&]<int kBytes>() RAS_ALWAYS_INLINE {
    for (int64_t i = 0; i < count; i += simd::kLanes) {
      simd::F32x16<kBytes> total = simd::all<kBytes>(0.0f);
      for (int64_t h = 0; h < n_heads; ++h) {
        total += simd::exp(simd::load<kBytes>(call.peaks.get() + (b * n_heads + h) * call.columns + i));
      }
      simd::store(total, sum.get() + i);
    }
  });
  auto at = visual.begin();  // mostly the next one
  for (int64_t j = 0; j < columns; ++j) {
    if (at == visual.end() || *at != column[j]) {
      at = std::lower_bound(visual.begin(), visual.end(), column[j]);
    }
    if (at != visual.end() && *at == column[j]) {
      out[j] += weight * sum[at - visual.begin()];
      ++at;
    }
  }
}

}  // namespace

void attention_peak_(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                     const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                     const std::optional<Tensor>& key_range, double scale, double weight, int64_t causal_offset) {
  check_attention_peak(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight);
  const int64_t batch = q.size(0), query_heads = q.size(1), n_rows = q.size(2), n_keys = k.size(2);
  const int64_t columns = visual.size(1), n_heads = heads.size(0);
  const int32_t* head = heads.const_data_ptr<int32_t>();
  const int32_t* column = visual.const_data_ptr<int32_t>();
  const bool* is_text = text_rows.const_data_ptr<bool>();
  const int32_t* range = key_range ? key_range->const_data_ptr<int32_t>() : nullptr;
  const int64_t range_stride = key_range ? key_range->stride(0) : 0;

  for (int64_t i = 0; i < n_heads; ++i) {
    RAS_CHECK(head[i] >= 0 && head[i] < query_heads, "heads must lie in 0..", query_heads - 1, ", got ", head[i]);
  }
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t j = 0; j < columns; ++j) {
      const int32_t key = column[b * visual.stride(0) + j];
      RAS_CHECK(key < n_keys, "visual must be below the number of keys ", n_keys, ", got ", key, " at (", b, ", ", j,
                ")");
    }
    if (range) {
      const int32_t first = range[b * range_stride], past = range[b * range_stride + 1];
      RAS_CHECK(first >= 0 && first <= past && past <= n_keys, "key_range must be (first, past) within 0..", n_keys,
                ", got (", first, ", ", past, ") at ", b);
    }
  }
  if (columns == 0 || n_heads == 0) {
    return;
  }
  // Beyond these bounds the offset changes nothing; within them it cannot overflow.
  const int64_t offset = std::clamp<int64_t>(causal_offset, -n_rows, n_keys);
  std::vector<Sight> sights;
  for (int64_t b = 0; b < batch; ++b) {
    sights.push_back(look(column + b * visual.stride(0), columns, is_text + b * text_rows.stride(0), n_rows,
                          range ? range[b * range_stride] : 0, range ? range[b * range_stride + 1] : n_keys, offset));
  }
  std::vector<Tile> tiles = tiles_of(sights, head, n_heads);
  const int64_t n_peaks = batch * n_heads * columns + simd::kLanes;
  Call call{q,
            k,
            lse,
            static_cast<float>(scale),
            offset,
            columns,
            std::move(sights),
            std::move(tiles),
            floats(n_peaks),
            std::make_unique<std::mutex[]>(batch * n_heads)};
  std::fill_n(call.peaks.get(), n_peaks, -kInfinity);

  switch (q.scalar_type()) {
    case ScalarType::Float:
      run_tiles<float>(call);
      break;
    case ScalarType::Half:
      run_tiles<simd::Half>(call);
      break;
    default:
      run_tiles<simd::BFloat16>(call);
  }
  for (int64_t b = 0; b < batch; ++b) {
    add_up(call, n_heads, column + b * visual.stride(0), columns, static_cast<float>(weight), b,
           acc.mutable_data_ptr<float>() + b * acc.stride(0));
  }
}

}  // namespace ras::cpu
