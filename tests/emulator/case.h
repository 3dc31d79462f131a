// One call of an operator: named arrays with their sizes and strides, and named numbers. The Python module and the
// program that runs under the sanitizers fill it, each operator's binding reads it.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/element.cuh"

namespace ras::emulated {

struct Array {
  void* data = nullptr;
  std::string type;  // of torch: "float32", "bfloat16", "int32", ...
  std::vector<int64_t> size, stride;
};

struct Case {
  std::map<std::string, Array> arrays;
  std::map<std::string, double> numbers;

  bool has(const std::string& name) const { return arrays.count(name) > 0; }
  const Array& array(const std::string& name) const { return arrays.at(name); }
  int64_t size(const std::string& name, int dim) const { return array(name).size.at(dim); }
  int64_t stride(const std::string& name, int dim) const { return array(name).stride.at(dim); }
  double number(const std::string& name) const { return numbers.at(name); }

  // Null for an argument that was not given.
  template <class T>
  T* data(const std::string& name) const {
    return has(name) ? static_cast<T*>(array(name).data) : nullptr;
  }

  Element element(const std::string& name) const {
    const std::string& type = array(name).type;
    return type == "float32" ? Element::kFloat : type == "float16" ? Element::kHalf : Element::kBFloat16;
  }
  int64_t element_bytes(const std::string& name) const { return ras::element_bytes(element(name)); }

  ReadRows read_rows(const std::string& name, int dim) const {
    return rows_of<const void>(array(name).data, stride(name, dim), element(name));
  }
  WrittenRows written_rows(const std::string& name, int dim) const {
    return has(name) ? rows_of<void>(array(name).data, stride(name, dim), element(name)) : WrittenRows{};
  }
};

// What one launch hands to the next: exactly as large as the plan says, and NaN before it is written.
class Scratch {
 public:
  explicit Scratch(const Plan& plan) : bytes_(plan.scratch_bytes, '\xFF') { bytes_.shrink_to_fit(); }
  template <class T = float>
  T* data() {
    return reinterpret_cast<T*>(bytes_.data());
  }

 private:
  std::vector<char> bytes_;
};

// Calls f with a null pointer of the element type.
template <class F>
void with_element(Element element, F f) {
  if (element == Element::kFloat) {
    f(static_cast<float*>(nullptr));
  } else if (element == Element::kHalf) {
    f(static_cast<__half*>(nullptr));
  } else {
    f(static_cast<__nv_bfloat16*>(nullptr));
  }
}

using Operator = std::function<void(const Case&)>;

inline std::map<std::string, Operator>& operators() {
  static std::map<std::string, Operator> all;
  return all;
}

struct Registered {
  Registered(const std::string& name, Operator run) { operators()[name] = std::move(run); }
};

inline void run_case(const std::string& name, const Case& c) {
  const auto found = operators().find(name);
  if (found == operators().end()) {
    throw std::runtime_error("no emulated operator " + name);
  }
  seed() = c.numbers.count("seed") ? static_cast<uint64_t>(c.number("seed")) : 1;
  found->second(c);
}

}  // namespace ras::emulated
