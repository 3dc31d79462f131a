"""The other contenders: torch.compile of the composition, and published kernels where their packages are installed.

A published kernel covers a part of an operator (a softmax, a norm); torch does the rest. Each of these imports are
tried where the case runs; what is not there is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # its usual name

from ras_ext.benchmark import compositions
from ras_ext.benchmark.cases import Case

Function = Callable[..., Any]


class CompileError(Exception):
    """torch.compile is not possible here; the message is the reason in one line."""


def compiled(case: Case, threads: int) -> tuple[Function, str]:
    """The composition through torch.compile, already compiled, and in words how.

    Raises:
        CompileError: there is no compiler, or the composition cannot be compiled as one graph.
    """
    torch._dynamo.reset()  # else the ninth shape of a function would quietly run uncompiled
    on_cpu = case.device.type == "cpu"
    # Generated C++ holds the number of threads: it must be that of the measurement, also in the cache's key.
    options: dict[str, str | int | bool | Function] | None = {"cpp.threads": threads} if on_cpu else None
    function = torch.compile(case.operator.fusable, dynamic=False, fullgraph=True, options=options)
    try:
        function(**case.peer_arguments())
    # Whatever the compiler raises ends in the same way: this contender is left out and the reason is told.
    except Exception as error:
        raise CompileError(_reason(error)) from error
    backend = f"C++, threads={threads}" if on_cpu else "Triton"
    return function, f"torch.compile(dynamic=False, fullgraph=True), inductor {backend}"


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def published(case: Case) -> dict[str, Function]:
    """Further contenders by name, for this operator on this device."""
    found: dict[str, Function] = {}
    on_gpu = case.device.type == "cuda"
    if case.op == "add_rms_norm_steer_":
        found["llama norm"] = compositions.llama_norm_steer
        if on_gpu and find_spec("vllm"):
            found["vllm norm"] = _vllm_norm_steer
    if case.op == "risk_score" and on_gpu:
        if find_spec("liger_kernel"):
            found["liger softmax"] = _risk_score_with(_liger_softmax)
        if find_spec("quack"):
            found["quack softmax"] = _risk_score_with(_quack_softmax)
    return found


def _vllm_norm_steer(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, out: Tensor, **steering: Tensor
) -> tuple[Tensor, Tensor]:
    """vLLM's norm adds to the residual and writes over its input, so the input is copied first."""
    from vllm import _custom_ops

    normed = out.copy_(x)
    _custom_ops.fused_add_rms_norm(normed, residual, weight, eps)
    compositions.steer_(normed, **steering)
    return normed, residual


def _risk_score_with(softmax: Callable[[Tensor], Tensor]) -> Function:
    def risk_score(
        logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
    ) -> tuple[Tensor, Tensor]:
        shares = softmax(logits.float().flatten(0, 1)).view(logits.shape)
        n = torch.arange(logits.shape[1], device=logits.device)
        decay = gamma**n * (n < length[:, None])
        similarity = F.cosine_similarity(torch.bmm(decay[:, None], shares)[:, 0], prototype[None], dim=-1)
        return similarity, torch.sigmoid(alpha * (similarity - s_base))

    return risk_score


def _liger_softmax(x: Tensor) -> Tensor:
    from liger_kernel.ops.softmax import LigerSoftmaxFunction

    return LigerSoftmaxFunction.apply(x)


def _quack_softmax(x: Tensor) -> Tensor:
    from quack import softmax

    return softmax(x)
