// attention_peak_: acc[b, j] += weight * sum_{h in heads} max_{t in text rows} softmax(q k^T scale)[t, visual_j].
//
// max_t exp(s_tj - L_t) = exp(max_t (s_tj - L_t)), so with the log-sum-exp L the second pass needs one exponential per
// visual key, and the attention matrix is never written. Keys are widened a block at a time and used by all text rows.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../contract/attention_peak.h"
#include "ops.h"
#include "parallel.h"
#include "row.h"

namespace ras::cpu {
namespace {

constexpr int64_t kKeys = 64;  // keys widened at a time: 64 keys of 128 values fill a 32 KiB cache
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The keys of one head.
struct Keys {
  const void* data;
  ScalarType type;
  int64_t offset, stride, width;

  void load(int64_t key, float* target) const { widen(data, type, offset + key * stride, width, target); }
};

// One text row of one head: its query in f32 and the keys it sees.
struct TextRow {
  int64_t index;
  int64_t first, past;
  const float* query;
  float lse;

  bool sees(int64_t key) const { return key >= first && key < past; }
};

// Log-sum-exp of every row's scores over the keys it sees, in one pass over the keys.
void fill_lse(std::vector<TextRow>& rows, const Keys& keys, float scale) {
  if (rows.empty()) {
    return;
  }
  int64_t first = rows.front().first, past = 0;
  for (const TextRow& row : rows) {
    past = std::max(past, row.past);
  }
  std::vector<float> block(kKeys * keys.width), max(rows.size(), -kInfinity), sum(rows.size(), 0.0f);
  float scores[kKeys];
  for (; first < past; first += kKeys) {
    const int64_t end = std::min(first + kKeys, past);
    for (int64_t key = first; key < end; ++key) {
      keys.load(key, block.data() + (key - first) * keys.width);
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t count = std::min(end, rows[i].past) - first;
      if (count <= 0) {
        continue;
      }
      float top = max[i];
      for (int64_t s = 0; s < count; ++s) {
        scores[s] = scale * dot(rows[i].query, block.data() + s * keys.width, keys.width);
        top = std::max(top, scores[s]);
      }
      // While every score is -inf nothing is shifted and nothing summed, so that a NaN is not lost on the way.
      const float shift = top == -kInfinity ? 0.0f : top;
      float total = max[i] == -kInfinity ? sum[i] : sum[i] * std::exp(max[i] - shift);
      for (int64_t s = 0; s < count; ++s) {
        total += std::exp(scores[s] - shift);
      }
      max[i] = top;
      sum[i] = total;
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].lse = max[i] + std::log(sum[i]);
  }
}

// The larger of two, where a NaN wins: a broken score must not hide behind a sound one.
float larger(float a, float b) {
  return b > a || std::isnan(b) ? b : a;
}

// peak[j] <- max over rows of (score at key column[j] - lse), for the keys a row sees.
void raise_peaks(const std::vector<TextRow>& rows, const Keys& keys, float scale, const int32_t* column,
                 int64_t columns, float* peak) {
  std::vector<float> values(keys.width);
  for (int64_t j = 0; j < columns; ++j) {
    if (column[j] < 0) {
      continue;
    }
    keys.load(column[j], values.data());
    for (const TextRow& row : rows) {
      if (row.sees(column[j])) {
        peak[j] = larger(peak[j], scale * dot(row.query, values.data(), keys.width) - row.lse);
      }
    }
  }
}

}  // namespace

void attention_peak_(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                     const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                     const std::optional<Tensor>& key_range, double scale, double weight, int64_t causal_offset) {
  check_attention_peak(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight);
  const int64_t batch = q.size(0), query_heads = q.size(1), n_rows = q.size(2), width = q.size(3);
  const int64_t n_keys = k.size(2), columns = visual.size(1), n_heads = heads.size(0);
  const int64_t group = query_heads / k.size(1);
  const int32_t* head = heads.const_data_ptr<int32_t>();
  const int32_t* column = visual.const_data_ptr<int32_t>();
  const bool* is_text = text_rows.const_data_ptr<bool>();
  const int32_t* range = key_range ? key_range->const_data_ptr<int32_t>() : nullptr;
  const int64_t column_stride = visual.stride(0), text_stride = text_rows.stride(0);
  const int64_t range_stride = key_range ? key_range->stride(0) : 0;

  for (int64_t i = 0; i < n_heads; ++i) {
    RAS_CHECK(head[i] >= 0 && head[i] < query_heads, "heads must lie in 0..", query_heads - 1, ", got ", head[i]);
  }
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t j = 0; j < columns; ++j) {
      const int32_t key = column[b * column_stride + j];
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

  const ScalarType type = q.scalar_type();
  const void* q_data = q.const_data_ptr();
  const void* k_data = k.const_data_ptr();
  const float* lse_data = lse ? lse->const_data_ptr<float>() : nullptr;
  const int64_t q_batch = q.stride(0), q_head = q.stride(1), q_row = q.stride(2);
  const int64_t k_batch = k.stride(0), k_head = k.stride(1), k_row = k.stride(2);
  const int64_t lse_batch = lse ? lse->stride(0) : 0, lse_head = lse ? lse->stride(1) : 0;
  const auto factor = static_cast<float>(scale);
  std::vector<float> peaks(batch * n_heads * columns, -kInfinity);

  run_tasks(batch * n_heads, 1, [&](int64_t task) {
    const int64_t b = task / n_heads, h = head[task % n_heads];
    const int64_t first = range ? range[b * range_stride] : 0;
    const int64_t past = range ? range[b * range_stride + 1] : n_keys;
    const bool* counts = is_text + b * text_stride;
    std::vector<float> queries(std::count(counts, counts + n_rows, true) * width);
    std::vector<TextRow> rows;
    for (int64_t t = 0; t < n_rows; ++t) {
      const int64_t last = std::min(past, t + offset + 1);
      if (counts[t] && first < last) {
        float* query = queries.data() + rows.size() * width;
        widen(q_data, type, b * q_batch + h * q_head + t * q_row, width, query);
        rows.push_back({t, first, last, query, 0.0f});
      }
    }
    const Keys keys{k_data, type, b * k_batch + h / group * k_head, k_row, width};
    if (lse_data) {
      for (TextRow& row : rows) {
        row.lse = lse_data[b * lse_batch + h * lse_head + row.index];
      }
    } else {
      fill_lse(rows, keys, factor);
    }
    raise_peaks(rows, keys, factor, column + b * column_stride, columns, peaks.data() + task * columns);
  });

  float* out = acc.mutable_data_ptr<float>();
  const int64_t out_stride = acc.stride(0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t j = 0; j < columns; ++j) {
      if (column[b * column_stride + j] < 0) {
        continue;
      }
      float sum = 0;
      for (int64_t i = 0; i < n_heads; ++i) {
        sum += std::exp(peaks[(b * n_heads + i) * columns + j]);
      }
      out[b * out_stride + j] += static_cast<float>(weight) * sum;
    }
  }
}

}  // namespace ras::cpu
