// attention_peak_ on the stand-in.
#include "case.h"
#include "kernels/attention_peak.cuh"

namespace ras::emulated {
namespace {

bool aligned_heads(const Case& c, const std::string& name) {
  bool aligned = aligned_16(c.array(name).data);
  for (int dim = 0; dim < 3; ++dim) {
    aligned = aligned && c.stride(name, dim) * c.element_bytes(name) % 16 == 0;
  }
  return aligned;
}

int64_t stride_of(const Case& c, const std::string& name, int dim) {
  return c.has(name) ? c.stride(name, dim) : 0;
}

}  // namespace

const Registered attention_peak("attention_peak_", [](const Case& c) {
  const int64_t batch = c.size("q", 0), rows = c.size("q", 2), width = c.size("q", 3), keys = c.size("k", 2);
  const int64_t n_heads = c.size("heads", 0), n_visual = c.size("visual", 1), bytes = c.element_bytes("q");
  if (batch == 0 || n_heads == 0 || n_visual == 0) {
    return;
  }
  const Plan plan = plan_attention_peak(batch, n_heads, rows, keys, n_visual, width, bytes, c.has("lse"));
  const AttentionCut cut(batch, n_heads, rows, keys, bytes);
  Scratch scratch(plan);
  with_element(c.element("q"), [&](auto* of_type) {
    using T = std::remove_pointer_t<decltype(of_type)>;
    enqueue_attention_peak(
        plan,
        AttentionArguments<T>{
            .acc = c.data<float>("acc"),
            .q = c.data<T>("q"),
            .k = c.data<T>("k"),
            .lse = c.data<float>("lse"),
            .heads = c.data<int32_t>("heads"),
            .text_rows = c.data<bool>("text_rows"),
            .visual = c.data<int32_t>("visual"),
            .key_range = c.data<int32_t>("key_range"),
            .scratch = scratch.data<int32_t>(),
            .place = AttentionScratch(batch, n_heads, rows, n_visual, cut.key_splits, c.has("lse")),
            .cut = cut,
            .acc_stride = c.stride("acc", 0),
            .q_batch = c.stride("q", 0),
            .q_head = c.stride("q", 1),
            .q_row = c.stride("q", 2),
            .k_batch = c.stride("k", 0),
            .k_head = c.stride("k", 1),
            .k_row = c.stride("k", 2),
            .lse_batch = stride_of(c, "lse", 0),
            .lse_head = stride_of(c, "lse", 1),
            .text_stride = c.stride("text_rows", 0),
            .visual_stride = c.stride("visual", 0),
            .range_stride = stride_of(c, "key_range", 0),
            .batch = batch,
            .query_heads = c.size("q", 1),
            .kv_heads = c.size("k", 1),
            .n_heads = n_heads,
            .rows = rows,
            .keys = keys,
            .n_visual = n_visual,
            .width = width,
            .causal_offset = std::clamp(static_cast<int64_t>(c.number("causal_offset")), -rows, keys),
            .scale = static_cast<float>(c.number("scale")),
            .weight = static_cast<float>(c.number("weight")),
            .q_aligned = aligned_heads(c, "q"),
            .k_aligned = aligned_heads(c, "k"),
        },
        nullptr);
  });
});

}  // namespace ras::emulated
