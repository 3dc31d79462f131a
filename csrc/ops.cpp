// The operators' schemas and their CPU implementations, registered through the LibTorch stable ABI: one binary serves
// every torch from 2.10 on.
#include <torch/csrc/stable/library.h>

#include "cpu/ops.h"

STABLE_TORCH_LIBRARY(ras_ext, m) {
  m.def(
      "attention_peak_(Tensor(a!) acc, Tensor q, Tensor k, Tensor? lse, Tensor heads, Tensor text_rows, "
      "Tensor visual, Tensor? key_range, float scale, float weight, int causal_offset) -> ()");
  m.def(
      "region_risk(Tensor attention, Tensor hidden, Tensor direction, Tensor? center, float slope, float bias, "
      "Tensor region, int n_regions) -> (Tensor mass, Tensor risk, Tensor pooled)");
  m.def(
      "risk_score(Tensor logits, Tensor length, Tensor prototype, float gamma, float alpha, float s_base) -> "
      "(Tensor similarity, Tensor risk)");
  m.def("steer_(Tensor(a!) x, Tensor rows, Tensor prototypes, Tensor slot, Tensor step, Tensor risk) -> ()");
  m.def(
      "add_rms_norm_steer_(Tensor(a!) out, Tensor x, Tensor(b!)? residual, Tensor weight, float eps, Tensor rows, "
      "Tensor prototypes, Tensor slot, Tensor step, Tensor risk) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(ras_ext, CPU, m) {
  m.impl("attention_peak_", TORCH_BOX(&ras::cpu::attention_peak_));
  m.impl("region_risk", TORCH_BOX(&ras::cpu::region_risk));
  m.impl("risk_score", TORCH_BOX(&ras::cpu::risk_score));
  m.impl("steer_", TORCH_BOX(&ras::cpu::steer_));
  m.impl("add_rms_norm_steer_", TORCH_BOX(&ras::cpu::add_rms_norm_steer_));
}
