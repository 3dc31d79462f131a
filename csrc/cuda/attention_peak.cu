// attention_peak_: checks, dispatch on the type of q and k, scratch, launch.
#include "../kernels/attention_peak.cuh"

#include <torch/csrc/stable/ops.h>
#include "../contract/attention_peak.h"

#include "dispatch.h"
#include "ops.h"

namespace ras::cuda {

void attention_peak_(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                     const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                     const std::optional<Tensor>& key_range, double scale, double weight, int64_t causal_offset) {
  check_attention_peak(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight);
  const int64_t batch = q.size(0), query_heads = q.size(1), rows = q.size(2), width = q.size(3);
  const int64_t kv_heads = k.size(1), keys = k.size(2), columns = visual.size(1), n_heads = heads.size(0);
  RAS_CHECK(width <= kWidestHead, "q must have a head_dim of at most ", kWidestHead, " on a GPU, got ", shape(q));
  // A row's number plus the causal offset must fit 32 bits.
  constexpr int64_t kMost = int64_t{1} << 30;
  RAS_CHECK(rows < kMost, "q must have fewer than ", kMost, " rows, got ", shape(q));
  RAS_CHECK(keys < kMost && columns < kMost, "k and visual must have fewer than ", kMost, " keys, got ", shape(k),
            " and ", shape(visual));
  if (batch == 0 || n_heads == 0 || rows == 0 || keys == 0 || columns == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(q.get_device_index());
  const Plan plan = plan_attention_peak(batch, n_heads, rows, keys, columns, width, element_bytes(q), lse.has_value());
  check_grid(plan, "batch must be smaller or heads fewer", std::max(batch, n_heads));
  const Tensor scratch = torch::stable::new_empty(acc, {plan.scratch_bytes}, ScalarType::Byte);
  with_type(q.scalar_type(), [&](auto type) {
    using T = typename decltype(type)::type;
    AttentionArguments<T> arguments{};
    arguments.acc = acc.mutable_data_ptr<float>();
    arguments.q = static_cast<const T*>(q.const_data_ptr());
    arguments.k = static_cast<const T*>(k.const_data_ptr());
    arguments.lse = lse ? lse->const_data_ptr<float>() : nullptr;
    arguments.heads = heads.const_data_ptr<int32_t>();
    arguments.text_rows = text_rows.const_data_ptr<bool>();
    arguments.visual = visual.const_data_ptr<int32_t>();
    arguments.key_range = key_range ? key_range->const_data_ptr<int32_t>() : nullptr;
    arguments.scratch = static_cast<unsigned char*>(scratch.mutable_data_ptr());
    arguments.acc_stride = acc.stride(0);
    arguments.text_stride = text_rows.stride(0);
    arguments.visual_stride = visual.stride(0);
    arguments.range_stride = key_range ? key_range->stride(0) : 0;
    arguments.q_batch = q.stride(0);
    arguments.q_head = q.stride(1);
    arguments.q_row = q.stride(2);
    arguments.k_batch = k.stride(0);
    arguments.k_head = k.stride(1);
    arguments.k_row = k.stride(2);
    arguments.lse_batch = lse ? lse->stride(0) : 0;
    arguments.lse_head = lse ? lse->stride(1) : 0;
    arguments.batch = static_cast<int>(batch);
    arguments.query_heads = static_cast<int>(query_heads);
    arguments.group = static_cast<int>(query_heads / kv_heads);
    arguments.n_heads = static_cast<int>(n_heads);
    arguments.rows = static_cast<int>(rows);
    arguments.keys = static_cast<int>(keys);
    arguments.columns = static_cast<int>(columns);
    arguments.width = static_cast<int>(width);
    // Beyond these bounds the offset changes nothing.
    arguments.offset = static_cast<int>(std::clamp<int64_t>(causal_offset, -rows, keys));
    arguments.scale = static_cast<float>(scale);
    arguments.weight = static_cast<float>(weight);
    enqueue_attention_peak(plan, arguments, current_stream(acc));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace ras::cuda
