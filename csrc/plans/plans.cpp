// ras_ext._plans: every operator's launch plan for Python. Plain C++: no torch, no CUDA, so it is there on any machine
// and the benchmarks, `doctor` and the tests read the very numbers the launches use. What comes in is checked here,
// what goes out is plain tuples and integers.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "../kernels/add_rms_norm_steer_plan.h"
#include "../kernels/attention_peak_plan.h"
#include "../kernels/region_risk_plan.h"
#include "../kernels/risk_score_plan.h"
#include "../kernels/steer_plan.h"

namespace py = pybind11;

namespace ras {
namespace {

// Refused sizes become a ValueError of one sentence.
void check(const std::string& op, const std::string& name, int64_t value) {
  const std::string got = ", got " + std::to_string(value);
  constexpr const char* kElement = "_bytes";
  if (name.size() > 6 && name.compare(name.size() - 6, 6, kElement) == 0) {
    const bool optional = name == "residual_bytes";
    if (value != 2 && value != 4 && !(optional && value == 0)) {
      throw py::value_error(op + ": " + name + " must be " + (optional ? "0, " : "") +
                            "2 or 4, the bytes of one element" + got);
    }
  } else if (value < 0) {
    throw py::value_error(op + ": " + name + " must be a size, 0 or more" + got);
  }
}

void check(const std::string&, const std::string&, bool) {}

// Wider heads have no kernel, so they have no plan.
Plan plan_attention_peak_of_any_width(int64_t batch, int64_t n_heads, int64_t rows, int64_t keys, int64_t visual,
                                      int64_t width, int64_t element_bytes, bool has_lse) {
  if (width > kWidestHead) {
    throw py::value_error("attention_peak_: width must be at most " + std::to_string(kWidestHead) + ", got " +
                          std::to_string(width));
  }
  return plan_attention_peak(batch, n_heads, rows, keys, visual, width, element_bytes, has_lse);
}

using Launches = std::vector<std::tuple<std::string, std::tuple<int64_t, int64_t, int64_t>, int64_t, int64_t>>;

py::tuple told(const Plan& plan) {
  Launches launches;
  for (const Launch& l : plan.launches) {
    launches.push_back({l.kernel, {l.grid_x, l.grid_y, l.grid_z}, l.threads, l.shared_bytes});
  }
  return py::make_tuple(launches, plan.scratch_bytes, plan.bytes, plan.flops);
}

using Parameters = std::map<std::string, std::vector<std::string>>;

// Binds a plan function under its operator's name, by keyword only: four integers in a row are easily swapped.
// `product` is the largest product of sizes the plan counts in: 64 bits hold 2^56 of anything it counts.
template <class... Shape, class Product, class... Names>
void bind(py::module_& m, Parameters& parameters, const char* op, Plan (*plan)(Shape...), Product product,
          Names... names) {
  static_assert(sizeof...(Shape) == sizeof...(Names), "one name for each parameter");
  parameters[op] = {names...};
  m.def(
      op,
      [=](Shape... shape) {
        (check(op, names, shape), ...);
        if (product(static_cast<double>(shape)...) > std::pow(2.0, 56)) {
          throw py::value_error(std::string(op) + ": the sizes are too large to be counted, they multiply to more " +
                                "than 2^56");
        }
        return told(plan(shape...));
      },
      py::kw_only(), py::arg(names)...);
}

std::string text(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace

PYBIND11_MODULE(_plans, m) {
  Parameters parameters;
  const auto all = [](auto... size) { return (size * ...); };
  const auto scores = [](double batch, double n_heads, double rows, double keys, double visual, double width, double,
                         double) { return batch * n_heads * (rows + 1) * (keys + visual) * (width + 1); };
  bind(m, parameters, "attention_peak_", plan_attention_peak_of_any_width, scores, "batch", "n_heads", "rows", "keys",
       "visual", "width", "element_bytes", "has_lse");
  bind(m, parameters, "region_risk", plan_region_risk, all, "batch", "tokens", "hidden", "n_regions", "hidden_bytes",
       "has_center");
  bind(m, parameters, "risk_score", plan_risk_score, all, "batch", "steps", "vocabulary", "logit_bytes");
  bind(m, parameters, "steer_", plan_steer, all, "batch", "hidden", "x_bytes", "prototype_bytes");
  bind(m, parameters, "add_rms_norm_steer_", plan_add_rms_norm_steer, all, "n_rows", "hidden", "batch", "x_bytes",
       "residual_bytes", "out_bytes", "weight_bytes", "prototype_bytes");
  m.attr("PARAMETERS") = parameters;
  m.attr("BUILD") = std::map<std::string, std::string>{
      {"compiler", __VERSION__},
      {"pybind11", text(PYBIND11_VERSION_MAJOR, PYBIND11_VERSION_MINOR, PYBIND11_VERSION_HEX >> 8 & 0xff)},
      {"python", text(PY_MAJOR_VERSION, PY_MINOR_VERSION, PY_MICRO_VERSION)}};
}

}  // namespace ras
