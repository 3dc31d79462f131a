// The emulated operators for Python. Arrays come as addresses, with the torch tensors that own them kept by the caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "case.h"

namespace py = pybind11;
using namespace ras::emulated;

PYBIND11_MODULE(emulated_kernels, m) {
  py::register_exception<Fault>(m, "Fault", PyExc_RuntimeError);
  m.def("run", [](const std::string& name, const py::dict& arrays, const std::map<std::string, double>& numbers) {
    Case c;
    c.numbers = numbers;
    for (const auto& [key, value] : arrays) {
      const auto array = py::cast<py::tuple>(value);
      c.arrays[py::cast<std::string>(key)] = {reinterpret_cast<void*>(py::cast<uintptr_t>(array[0])),
                                              py::cast<std::string>(array[1]), py::cast<std::vector<int64_t>>(array[2]),
                                              py::cast<std::vector<int64_t>>(array[3])};
    }
    run_case(name, c);
  });
}
