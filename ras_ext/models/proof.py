"""One pass over a few tokens that shows whether the head reads what the norm gives, and whether logits are its output.

Asked where a table cannot be trusted alone: of models of unknown family, and of those whose weights are quantised.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ras_ext.errors import ModelError
from ras_ext.models.placement import device_of, dtype_of
from ras_ext.registry.errors import first_line


@torch.inference_mode()
def head_is_linear(model: Any, norm: nn.Module, doing: str) -> bool:
    """Whether the logits of a few tokens are the head over what the norm gave, as they stand.

    Args:
        norm: the norm before the head.
        doing: what cannot be done where the pass shows something else, such as ``"read by structure"``.

    Raises:
        ModelError: the pass fails, the norm does not run once, or the head reads something else.
    """
    seen: list[Any] = []
    handle = norm.register_forward_hook(lambda _module, _args, output: seen.append(output))
    head = model.get_output_embeddings()
    try:
        tokens = _plain_tokens(model.config).to(device_of(model))
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be {doing}: a pass over a few tokens fails ({first_line(error)})"
        ) from error
    finally:
        handle.remove()
    if len(seen) != 1 or not isinstance(seen[0], torch.Tensor) or seen[0].ndim != 3:
        raise ModelError(
            f"{type(model).__name__} cannot be {doing}: its last norm ran {len(seen)} times in one pass "
            "and must give one tensor (batch, tokens, hidden) once"
        )
    expected = head(seen[0].to(device_of(head), dtype_of(head) or dtype_of(norm))).float()
    logits = logits.float().to(expected.device)
    # States of zero would agree with any head: a padding token's embedding may be that.
    if expected.shape != logits.shape or not expected.any() or not torch.equal(expected.argmax(-1), logits.argmax(-1)):
        raise ModelError(f"{type(model).__name__} cannot be {doing}: its head does not read what its last norm gives")
    return torch.allclose(expected, logits, rtol=1e-2, atol=1e-3)


def _plain_tokens(config: Any) -> torch.Tensor:
    """Ids ``(1, 4)`` of tokens of text: not of an image, padding or another mark that the config names."""
    text = config.get_text_config()
    named = {value for one in (config, text) for value in one.to_dict().values() if isinstance(value, int)}
    return torch.tensor([[n for n in range(4, text.vocab_size) if n not in named][:4]])
