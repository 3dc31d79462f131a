"""Which model a pack was made for, in plain values: read from a config and a chat template, compared field by field.

Two fields are hashes: of the numbers in the config that fix the model's shape and arithmetic, and of the chat template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from . import strict_json
from .errors import PackError

# Only these keys, wherever they stand in the config, are hashed. A list of what counts, and not of what to leave out:
# from transformers 5.16 to 5.23 the dicts of three families of six gained default fields for the same checkpoint.
HASHED_KEYS = frozenset(
    {
        "model_type",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "hidden_act",
        "projector_hidden_act",
        "rms_norm_eps",
        "layer_norm_eps",
        "n_embd",
        "n_layer",
        "n_head",
        "d_model",
        "num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "query_pre_attn_scalar",
        "logits_scaling",
        "image_size",
        "patch_size",
        "num_channels",
        "depth",
        "embed_dim",
        "out_hidden_size",
        "vision_feature_layer",
        "vision_feature_select_strategy",
        "spatial_merge_size",
        "temporal_patch_size",
        "image_seq_length",
        "mm_tokens_per_image",
        "downsample_ratio",
        "layers",
        "heads",
        "width",
        "output_dim",
    }
)
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True)
class BaseModel:
    """The model that vectors belong to. ``None`` means unknown, and an unknown field is not compared.

    ``hidden_size`` D, ``n_layers`` decoder layers, ``vocab_size`` V (rows of the LM head); ``final_norm`` is the module
    path of the norm before the LM head; hashes are sha256 in hexadecimal.
    """

    id: str
    architecture: str
    hidden_size: int
    n_layers: int
    vocab_size: int
    final_norm: str
    config_sha256: str
    revision: str | None = None
    image_token_id: int | None = None
    chat_template_sha256: str | None = None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> BaseModel:
        """From the ``base_model`` object of a checked config."""
        return cls(**{entry.name: value[entry.name] for entry in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """One field in which a pack and a model disagree."""

    field: str
    pack: Any
    model: Any

    def __str__(self) -> str:
        return f"{self.field}: pack has {_short(self.pack)}, model has {_short(self.model)}"


def describe_config(
    config: Mapping[str, Any],
    *,
    final_norm: str,
    id: str | None = None,
    revision: str | None = None,
    architecture: str | None = None,
    vocab_size: int | None = None,
    chat_template: str | Mapping[str, Any] | None = None,
) -> BaseModel:
    """Describe a model from its config as a dict (``model.config.to_dict()`` or a parsed config.json).

    What is given by keyword wins over what the config says. Raises PackError if the config lacks a needed size.
    """
    text = next((config[key] for key in _TEXT_CONFIGS if isinstance(config.get(key), Mapping)), config)
    architectures = config.get("architectures") or [None]
    template = chat_template
    return BaseModel(
        id=id or str(config.get("_name_or_path") or config.get("model_type") or "unnamed"),
        revision=revision,
        architecture=architecture or str(architectures[0] or config.get("model_type") or "unknown"),
        hidden_size=_size(text, "hidden_size", "n_embd", "d_model"),
        n_layers=_size(text, "num_hidden_layers", "n_layer", "num_layers"),
        vocab_size=vocab_size if vocab_size is not None else _size(text, "vocab_size"),
        final_norm=final_norm,
        image_token_id=next(
            (config[k] for k in ("image_token_id", "image_token_index") if _whole(config.get(k))), None
        ),
        config_sha256=config_sha256(config),
        chat_template_sha256=None if template is None else chat_template_sha256(template),
    )


def config_sha256(config: Mapping[str, Any]) -> str:
    """The sha256 (hex) of the canonical JSON of the :data:`HASHED_KEYS` in a config, nested as they stand there."""
    return hashlib.sha256(strict_json.canonical(_what_counts(config))).hexdigest()


def chat_template_sha256(template: str | Mapping[str, Any]) -> str:
    """The sha256 (hex) of a chat template (of several named ones as canonical JSON), whatever its line ends."""
    if not isinstance(template, str):
        template = strict_json.canonical({str(key): str(value) for key, value in template.items()}).decode("ascii")
    text = template.replace("\r\n", "\n").rstrip("\n")
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def compare(expected: BaseModel, found: BaseModel) -> list[Difference]:
    """The fields in which ``found`` is not the model ``expected``; fields unknown on either side are passed over.

    Ids are compared only if both come with a revision (a local folder has any name), revisions only under equal ids.
    """
    differences = []
    for entry in fields(BaseModel):
        left, right = getattr(expected, entry.name), getattr(found, entry.name)
        if left is None or right is None or left == right:
            continue
        if entry.name == "id" and (expected.revision is None or found.revision is None):
            continue
        if entry.name == "revision" and expected.id != found.id:
            continue
        differences.append(Difference(entry.name, left, right))
    return differences


def _what_counts(value: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            inner = _what_counts(item)
            # model_type alone stands in every sub-config, those of added defaults as well.
            if inner and set(inner) != {"model_type"}:
                kept[str(key)] = inner
        elif key in HASHED_KEYS and isinstance(item, (str, int, float, list, tuple)):
            kept[key] = list(item) if isinstance(item, tuple) else item
    return kept


def _size(config: Mapping[str, Any], *keys: str) -> int:
    for key in keys:
        if _whole(config.get(key)):
            return int(config[key])
    raise PackError(f"the model's config has no {keys[0]}; pass the config of a language model")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] + "…" if len(text) == 64 else text
