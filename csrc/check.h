// Argument checks shared by every backend: each failure is one sentence that names the argument, what it must be and
// what came. Thrown as std::runtime_error, which Python sees as RuntimeError.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

namespace ras {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream sentence;
  (sentence << ... << parts);
  throw std::runtime_error(sentence.str());
}

// A macro, so that the sentence is only put together when it is needed.
#define RAS_CHECK(condition, ...) \
  do {                            \
    if (!(condition)) {           \
      ::ras::fail(__VA_ARGS__);   \
    }                             \
  } while (false)

inline std::string tuple_text(torch::headeronly::IntHeaderOnlyArrayRef values) {
  std::ostringstream text;
  text << "(";
  for (size_t i = 0; i < values.size(); ++i) {
    text << (i ? ", " : "") << values[i];
  }
  text << (values.size() == 1 ? ",)" : ")");
  return text.str();
}

inline std::string shape(const Tensor& t) {
  return tuple_text(t.sizes());
}

// The names Python users know ("float32"), not the ones of the C++ enumeration ("Float").
inline std::string type_name(ScalarType type) {
  switch (type) {
    case ScalarType::Float:
      return "float32";
    case ScalarType::Double:
      return "float64";
    case ScalarType::Half:
      return "float16";
    case ScalarType::BFloat16:
      return "bfloat16";
    case ScalarType::Byte:
      return "uint8";
    case ScalarType::Int:
      return "int32";
    case ScalarType::Long:
      return "int64";
    case ScalarType::Bool:
      return "bool";
    default:
      return torch::headeronly::toString(type);
  }
}

inline std::string device_name(const Tensor& t) {
  if (t.is_cpu()) {
    return "cpu";
  }
  std::ostringstream name;
  name << (t.is_cuda() ? "cuda:" : "device ") << t.get_device_index();
  return name.str();
}

inline bool is_floating(ScalarType type) {
  return type == ScalarType::Float || type == ScalarType::Half || type == ScalarType::BFloat16;
}

inline void check_floating(const Tensor& t, const char* name) {
  RAS_CHECK(is_floating(t.scalar_type()), name, " must be float32, float16 or bfloat16, got ",
            type_name(t.scalar_type()));
}

inline void check_type(const Tensor& t, const char* name, ScalarType type) {
  RAS_CHECK(t.scalar_type() == type, name, " must be ", type_name(type), ", got ", type_name(t.scalar_type()));
}

inline void check_dims(const Tensor& t, const char* name, const char* axes, int64_t dims) {
  RAS_CHECK(t.dim() == dims, name, " must be ", axes, ", got ", shape(t));
}

// `what` says the expected size in words: "batch 4".
inline void check_size(const Tensor& t, const char* name, const char* axes, int64_t dim, const char* what,
                       int64_t size) {
  RAS_CHECK(t.size(dim) == size, name, " must be ", axes, " with ", what, " ", size, ", got ", shape(t));
}

// Kernels step through a row element by element and from row to row by any stride.
inline void check_rows(const Tensor& t, const char* name) {
  const int64_t last = t.dim() - 1;
  RAS_CHECK(t.size(last) <= 1 || t.numel() == 0 || t.stride(last) == 1, name,
            " must have its last dimension contiguous, got strides ", tuple_text(t.strides()));
}

inline void check_same_device(const Tensor& t, const char* name, const Tensor& other, const char* other_name) {
  const bool same = t.is_cpu() == other.is_cpu() && t.is_cuda() == other.is_cuda() &&
                    t.get_device_index() == other.get_device_index();
  RAS_CHECK(same, name, " must be on the device of ", other_name, " (", device_name(other), "), got ", device_name(t));
}

inline void check_finite(double value, const char* name) {
  RAS_CHECK(std::isfinite(value), name, " must be finite, got ", value);
}

// Bytes from the first element to the end of the last one.
inline int64_t span_bytes(const Tensor& t) {
  if (t.numel() == 0) {
    return 0;
  }
  int64_t last = 0;
  for (int64_t dim = 0; dim < t.dim(); ++dim) {
    last += (t.size(dim) - 1) * t.stride(dim);
  }
  return (last + 1) * static_cast<int64_t>(t.element_size());
}

// A mutated (rows, width) argument: two of its rows must not be the same memory, or the result depends on timing.
inline void check_distinct_rows(const Tensor& t, const char* name) {
  RAS_CHECK(t.size(0) <= 1 || t.numel() == 0 || t.stride(0) >= t.size(1), name,
            " is written to, so its rows must not overlap each other, got shape ", shape(t), " with strides ",
            tuple_text(t.strides()));
}

// Interleaved column blocks of one buffer (equal row strides, rows no wider than the gap) share a range of addresses
// but no element; anything else whose ranges meet is taken as overlapping.
inline bool overlap(const Tensor& a, const Tensor& b) {
  const int64_t bytes_a = span_bytes(a), bytes_b = span_bytes(b);
  if (bytes_a == 0 || bytes_b == 0) {
    return false;
  }
  const auto start_a = reinterpret_cast<intptr_t>(a.const_data_ptr());
  const auto start_b = reinterpret_cast<intptr_t>(b.const_data_ptr());
  if (start_a + bytes_a <= start_b || start_b + bytes_b <= start_a) {
    return false;
  }
  if (a.dim() != 2 || b.dim() != 2) {
    return true;
  }
  const auto pitch = a.stride(0) * static_cast<int64_t>(a.element_size());
  if (pitch <= 0 || pitch != b.stride(0) * static_cast<int64_t>(b.element_size())) {
    return true;
  }
  const int64_t width_a = a.size(1) * static_cast<int64_t>(a.element_size());
  const int64_t width_b = b.size(1) * static_cast<int64_t>(b.element_size());
  const int64_t gap = (((start_b - start_a) % pitch) + pitch) % pitch;
  return gap < width_a || gap + width_b > pitch;
}

inline void check_disjoint(const Tensor& written, const char* written_name, const Tensor& read, const char* read_name) {
  RAS_CHECK(!overlap(written, read), written_name, " is written to and must not share memory with ", read_name,
            "; pass a copy of one of them");
}

}  // namespace ras
