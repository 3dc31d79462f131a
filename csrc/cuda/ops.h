// The CUDA implementations, as they are registered.
#pragma once

#include <optional>
#include <string>
#include <tuple>

#include "../check.h"

namespace ras::cuda {

void steer_(const Tensor& x, const Tensor& rows, const Tensor& prototypes, const Tensor& slot, const Tensor& step,
            const Tensor& risk);

void attention_peak_(const Tensor& acc, const Tensor& q, const Tensor& k, const std::optional<Tensor>& lse,
                     const Tensor& heads, const Tensor& text_rows, const Tensor& visual,
                     const std::optional<Tensor>& key_range, double scale, double weight, int64_t causal_offset);

std::tuple<Tensor, Tensor> risk_score(const Tensor& logits, const Tensor& length, const Tensor& prototype, double gamma,
                                      double alpha, double s_base);

std::tuple<Tensor, Tensor, Tensor> region_risk(const Tensor& attention, const Tensor& hidden, const Tensor& direction,
                                               const std::optional<Tensor>& center, double slope, double bias,
                                               const Tensor& region, int64_t n_regions);

void add_rms_norm_steer_(const Tensor& out, const Tensor& x, const std::optional<Tensor>& residual,
                         const Tensor& weight, double eps, const Tensor& rows, const Tensor& prototypes,
                         const Tensor& slot, const Tensor& step, const Tensor& risk);

// Compute capabilities with machine code in this library: "8.0 8.6 9.0".
std::string cuda_archs();

}  // namespace ras::cuda
