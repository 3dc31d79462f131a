// attention_peak_: checks, dispatch on the type of q and k, launch.
#include "../contract/attention_peak.h"
#include "../kernels/attention_peak.cuh"
#include "dispatch.h"
#include "ops.h"

namespace ras::cuda {
namespace {

// Whether every row of a (batch, heads, rows, width) tensor allows 16-byte accesses.
bool aligned_heads(const Tensor& t) {
  bool aligned = aligned_16(t.const_data_ptr());
  for (int dim = 0; dim < 3; ++dim) {
    aligned = aligned && t.stride(dim) * element_bytes(t) % 16 == 0;
  }
  return aligned;
}

}  // namespace

void attention_peak_(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                     const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                     const std::optional<Tensor>& key_range, double scale, double weight, int64_t causal_offset) {
  check_attention_peak(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight);
  const int64_t batch = q.size(0), rows = q.size(2), width = q.size(3), keys = k.size(2);
  const int64_t n_heads = heads.size(0), n_visual = visual.size(1);
  RAS_CHECK(width <= kWidestHead, "q must have a head_dim of at most ", kWidestHead, " on a GPU, got ", width);
  if (batch == 0 || n_heads == 0 || n_visual == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(q.get_device_index());
  const Plan plan = plan_attention_peak(batch, n_heads, rows, keys, n_visual, width, element_bytes(q), lse.has_value());
  check_grid(plan, "q must have fewer requests, heads or rows", batch);
  const AttentionCut cut(batch, n_heads, rows, keys, element_bytes(q));
  const AttentionScratch place(batch, n_heads, rows, n_visual, cut.key_splits, lse.has_value());
  const Tensor space = scratch(plan, acc);
  with_type(q.scalar_type(), [&](auto type) {
    using T = typename decltype(type)::type;
    enqueue_attention_peak(plan,
                           AttentionArguments<T>{
                               .acc = acc.mutable_data_ptr<float>(),
                               .q = static_cast<const T*>(q.const_data_ptr()),
                               .k = static_cast<const T*>(k.const_data_ptr()),
                               .lse = lse ? lse->const_data_ptr<float>() : nullptr,
                               .heads = heads.const_data_ptr<int32_t>(),
                               .text_rows = text_rows.const_data_ptr<bool>(),
                               .visual = visual.const_data_ptr<int32_t>(),
                               .key_range = key_range ? key_range->const_data_ptr<int32_t>() : nullptr,
                               .scratch = reinterpret_cast<int32_t*>(space.mutable_data_ptr<float>()),
                               .place = place,
                               .cut = cut,
                               .acc_stride = acc.stride(0),
                               .q_batch = q.stride(0),
                               .q_head = q.stride(1),
                               .q_row = q.stride(2),
                               .k_batch = k.stride(0),
                               .k_head = k.stride(1),
                               .k_row = k.stride(2),
                               .lse_batch = lse ? lse->stride(0) : 0,
                               .lse_head = lse ? lse->stride(1) : 0,
                               .text_stride = text_rows.stride(0),
                               .visual_stride = visual.stride(0),
                               .range_stride = key_range ? key_range->stride(0) : 0,
                               .batch = batch,
                               .query_heads = q.size(1),
                               .kv_heads = k.size(1),
                               .n_heads = n_heads,
                               .rows = rows,
                               .keys = keys,
                               .n_visual = n_visual,
                               .width = width,
                               // Beyond these bounds the offset changes nothing; within them it cannot overflow.
                               .causal_offset = std::clamp<int64_t>(causal_offset, -rows, keys),
                               .scale = static_cast<float>(scale),
                               .weight = static_cast<float>(weight),
                               .q_aligned = aligned_heads(q),
                               .k_aligned = aligned_heads(k),
                           },
                           current_stream(q));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace ras::cuda
