// attention_peak_ on the stand-in.
#include "case.h"
#include "kernels/attention_peak.cuh"

namespace ras::emulated {
namespace {

int64_t stride_of(const Case& c, const std::string& name, int dim) {
  return c.has(name) ? c.stride(name, dim) : 0;
}

}  // namespace

const Registered attention_peak("attention_peak_", [](const Case& c) {
  const int64_t batch = c.size("q", 0), rows = c.size("q", 2), width = c.size("q", 3), keys = c.size("k", 2);
  const int64_t n_heads = c.size("heads", 0), columns = c.size("visual", 1);
  if (batch == 0 || n_heads == 0 || rows == 0 || keys == 0 || columns == 0) {
    return;
  }
  const Plan plan = plan_attention_peak(batch, n_heads, rows, keys, columns, width, c.element_bytes("q"), c.has("lse"));
  Scratch scratch(plan);
  with_element(c.element("q"), [&](auto* of_type) {
    using T = std::remove_pointer_t<decltype(of_type)>;
    AttentionArguments<T> arguments{};
    arguments.acc = c.data<float>("acc");
    arguments.q = c.data<T>("q");
    arguments.k = c.data<T>("k");
    arguments.lse = c.data<float>("lse");
    arguments.heads = c.data<int32_t>("heads");
    arguments.text_rows = c.data<bool>("text_rows");
    arguments.visual = c.data<int32_t>("visual");
    arguments.key_range = c.data<int32_t>("key_range");
    arguments.scratch = scratch.data<unsigned char>();
    arguments.acc_stride = c.stride("acc", 0);
    arguments.text_stride = c.stride("text_rows", 0);
    arguments.visual_stride = c.stride("visual", 0);
    arguments.range_stride = stride_of(c, "key_range", 0);
    arguments.q_batch = c.stride("q", 0);
    arguments.q_head = c.stride("q", 1);
    arguments.q_row = c.stride("q", 2);
    arguments.k_batch = c.stride("k", 0);
    arguments.k_head = c.stride("k", 1);
    arguments.k_row = c.stride("k", 2);
    arguments.lse_batch = stride_of(c, "lse", 0);
    arguments.lse_head = stride_of(c, "lse", 1);
    arguments.batch = static_cast<int>(batch);
    arguments.query_heads = static_cast<int>(c.size("q", 1));
    arguments.group = static_cast<int>(c.size("q", 1) / c.size("k", 1));
    arguments.n_heads = static_cast<int>(n_heads);
    arguments.rows = static_cast<int>(rows);
    arguments.keys = static_cast<int>(keys);
    arguments.columns = static_cast<int>(columns);
    arguments.width = static_cast<int>(width);
    arguments.offset = static_cast<int>(std::clamp(static_cast<int64_t>(c.number("causal_offset")), -rows, keys));
    arguments.scale = static_cast<float>(c.number("scale"));
    arguments.weight = static_cast<float>(c.number("weight"));
    enqueue_attention_peak(plan, arguments, nullptr);
  });
});

}  // namespace ras::emulated
