// What attention_peak_ may be called with. acc (B, J) is written; the rest is read.
#pragma once

#include <optional>

#include "../check.h"

namespace ras {

inline void check_attention_peak(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                                 const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                                 const std::optional<Tensor>& key_range, double scale, double weight) {
  constexpr const char* kQueryAxes = "(batch, heads, rows, head_dim)";
  constexpr const char* kKeyAxes = "(batch, kv_heads, keys, head_dim)";
  constexpr const char* kLseAxes = "(batch, heads, rows)";
  check_dims(q, "q", kQueryAxes, 4);
  check_floating(q, "q");
  check_rows(q, "q");

  check_dims(k, "k", kKeyAxes, 4);
  check_type(k, "k", q.scalar_type());
  check_size(k, "k", kKeyAxes, 0, "batch", q.size(0));
  check_size(k, "k", kKeyAxes, 3, "head_dim", q.size(3));
  check_rows(k, "k");
  RAS_CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, "k must be ", kKeyAxes, " with kv_heads a divisor of the ",
            q.size(1), " heads of q, got ", shape(k));

  check_dims(acc, "acc", "(batch, visual)", 2);
  check_size(acc, "acc", "(batch, visual)", 0, "batch", q.size(0));
  check_type(acc, "acc", ScalarType::Float);
  check_rows(acc, "acc");
  check_distinct_rows(acc, "acc");

  check_dims(heads, "heads", "(heads,)", 1);
  check_type(heads, "heads", ScalarType::Int);
  check_rows(heads, "heads");

  check_dims(text_rows, "text_rows", "(batch, rows)", 2);
  check_size(text_rows, "text_rows", "(batch, rows)", 0, "batch", q.size(0));
  check_size(text_rows, "text_rows", "(batch, rows)", 1, "rows", q.size(2));
  check_type(text_rows, "text_rows", ScalarType::Bool);
  check_rows(text_rows, "text_rows");

  check_dims(visual, "visual", "(batch, visual)", 2);
  check_size(visual, "visual", "(batch, visual)", 0, "batch", q.size(0));
  check_size(visual, "visual", "(batch, visual)", 1, "visual", acc.size(1));
  check_type(visual, "visual", ScalarType::Int);
  check_rows(visual, "visual");

  if (lse) {
    check_dims(*lse, "lse", kLseAxes, 3);
    check_size(*lse, "lse", kLseAxes, 0, "batch", q.size(0));
    check_size(*lse, "lse", kLseAxes, 1, "heads", q.size(1));
    check_size(*lse, "lse", kLseAxes, 2, "rows", q.size(2));
    check_type(*lse, "lse", ScalarType::Float);
    check_rows(*lse, "lse");
    check_same_device(*lse, "lse", acc, "acc");
    check_disjoint(acc, "acc", *lse, "lse");
  }
  if (key_range) {
    check_dims(*key_range, "key_range", "(batch, 2)", 2);
    check_size(*key_range, "key_range", "(batch, 2)", 0, "batch", q.size(0));
    check_size(*key_range, "key_range", "(batch, 2)", 1, "width", 2);
    check_type(*key_range, "key_range", ScalarType::Int);
    check_rows(*key_range, "key_range");
    check_same_device(*key_range, "key_range", acc, "acc");
    check_disjoint(acc, "acc", *key_range, "key_range");
  }
  const struct {
    const Tensor& tensor;
    const char* name;
  } read[] = {{q, "q"}, {k, "k"}, {heads, "heads"}, {text_rows, "text_rows"}, {visual, "visual"}};
  for (const auto& argument : read) {
    check_same_device(argument.tensor, argument.name, acc, "acc");
    check_disjoint(acc, "acc", argument.tensor, argument.name);
  }
  check_finite(scale, "scale");
  check_finite(weight, "weight");
}

}  // namespace ras
