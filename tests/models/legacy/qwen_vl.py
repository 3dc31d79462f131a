"""A stand-in for Qwen-VL-Chat: its decoder's tree and tensor names, its signatures, its way with images and caches.

Written from what is published about the model; of its code nothing is here. Very small, of random weights, with a mere
sketch of the tower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from models.legacy.layers import RMSNorm, attend, rotate
from models.legacy.qwen_tokenizer import SPAN, QWenTokenizer
from PIL import Image
from torch import nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

PIXELS, PATCH = 64, 4  # as many patches as an image has tokens


class QWenConfig(PretrainedConfig):
    model_type = "qwen"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012

    def __init__(
        self,
        vocab_size: int = 351,
        hidden_size: int = 32,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 2,
        intermediate_size: int = 64,
        layer_norm_epsilon: float = 1e-6,
        initializer_range: float = 0.3,
        use_cache: bool = True,
        visual: dict[str, Any] | None = None,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        self.visual = visual
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)


class QWenAttention(nn.Module):
    def __init__(self, config: QWenConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.c_attn = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.c_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor, mask: Any, past: Any) -> tuple[torch.Tensor, Any]:
        batch, width, hidden = x.shape
        q, k, v = (t.view(batch, width, self.heads, -1) for t in self.c_attn(x).split(hidden, 2))
        before = 0 if past is None else past[0].shape[1]
        # Positions count from the first place, padding and all; only their differences matter.
        places = torch.arange(before, before + width, device=x.device)[None]
        q, k = (rotate(t.transpose(1, 2), places) for t in (q, k))
        k = k.transpose(1, 2)
        if past is not None:
            k, v = torch.cat([past[0], k], 1), torch.cat([past[1], v], 1)
        out = attend(q, k.transpose(1, 2), v.transpose(1, 2), mask)
        return self.c_proj(out.transpose(1, 2).reshape(batch, width, hidden)), (k, v)


class QWenMLP(nn.Module):
    def __init__(self, config: QWenConfig) -> None:
        super().__init__()
        inner = config.intermediate_size // 2
        self.w1 = nn.Linear(config.hidden_size, inner, bias=False)
        self.w2 = nn.Linear(config.hidden_size, inner, bias=False)
        self.c_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(self.w1(x) * nn.functional.silu(self.w2(x)))


class QWenBlock(nn.Module):
    def __init__(self, config: QWenConfig) -> None:
        super().__init__()
        self.ln_1 = RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.attn = QWenAttention(config)
        self.ln_2 = RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mlp = QWenMLP(config)

    def forward(self, x: torch.Tensor, mask: Any, past: Any) -> tuple[torch.Tensor, Any]:
        seen, present = self.attn(self.ln_1(x), mask, past)
        x = x + seen
        return x + self.mlp(self.ln_2(x)), present


class Resampler(nn.Module):
    """A fixed number of queries over the patches."""

    def __init__(self, queries: int, width: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.pos_embed = nn.Parameter(torch.zeros(queries, width))
        self.kv_proj = nn.Linear(inner, width, bias=False)
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.ln_q = nn.LayerNorm(width)
        self.ln_kv = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.ln_kv(self.kv_proj(x))
        q = (self.ln_q(self.query) + self.pos_embed).expand(len(x), -1, -1)
        return self.attn(q, x + self.pos_embed, x)[0]


class VisionTransformer(nn.Module):
    """Reads files; nothing else tells it what is to be seen."""

    def __init__(self, width: int, output_dim: int, **_: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, PATCH, PATCH, bias=False)
        self.positional_embedding = nn.Parameter(torch.zeros(SPAN, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList([nn.Linear(width, width)])
        self.attn_pool = Resampler(SPAN, output_dim, width)
        self.ln_post = nn.LayerNorm(output_dim)
        self.proj = nn.Parameter(torch.zeros(output_dim, output_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = x + block(x).tanh()
        return self.ln_post(self.attn_pool(x)) @ self.proj

    def encode(self, image_paths: list[str]) -> torch.Tensor:
        pictures = [Image.open(path).convert("RGB").resize((PIXELS, PIXELS)) for path in image_paths]
        pixels = torch.stack([torch.from_numpy(np.asarray(one) / 255.0) for one in pictures]).permute(0, 3, 1, 2)
        return self(pixels.to(self.conv1.weight))


class QWenPreTrainedModel(PreTrainedModel):
    config_class = QWenConfig
    base_model_prefix = "transformer"

    def _init_weights(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters(recurse=False):
            if "norm" not in type(module).__name__.lower():
                parameter.data.normal_(0.0, self.config.initializer_range)
            elif name == "bias":
                parameter.data.zero_()


class QWenModel(QWenPreTrainedModel):
    def __init__(self, config: QWenConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.drop = nn.Dropout(0.0)
        self.h = nn.ModuleList([QWenBlock(config) for _ in range(config.num_hidden_layers)])
        self.ln_f = RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.visual = VisionTransformer(**config.visual)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.wte

    def forward(
        self,
        input_ids: Any = None,
        past_key_values: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        use_cache: Any = None,
        output_attentions: Any = None,
        output_hidden_states: Any = None,
        return_dict: Any = None,
    ) -> BaseModelOutputWithPast:
        start = self.config.visual["image_start_id"]
        x = self.wte(input_ids)
        if past_key_values is None and torch.any(input_ids == start):
            begins, ends = torch.where(input_ids == start), torch.where(input_ids == start + 1)
            assert torch.equal(begins[0], ends[0])
            places = list(zip(begins[0].tolist(), begins[1].tolist(), ends[1].tolist(), strict=True))
            paths = []
            for row, a, b in places:
                path = input_ids[row, a + 1 : b - 1].tolist()
                paths.append(bytes(path[: path.index(start + 2)]).decode("utf-8"))
            for (row, a, b), seen in zip(places, self.visual.encode(paths), strict=True):
                x[row, a + 1 : b] = seen
        presents = []
        for index, block in enumerate(self.h):
            x, present = block(x, attention_mask, None if past_key_values is None else past_key_values[index])
            presents.append(present)
        return BaseModelOutputWithPast(last_hidden_state=self.ln_f(x), past_key_values=tuple(presents))


class _StopWords(LogitsProcessor):
    """After a stop word only the end of the text can follow."""

    def __init__(self, stop_words_ids: list[list[int]], eos_token_id: int) -> None:
        self.words, self.end = stop_words_ids, eos_token_id

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.clone()
        for row, ids in enumerate(input_ids.tolist()):
            if any(ids[-len(word) :] == word for word in self.words):
                scores[row, self.end] = torch.finfo(scores.dtype).max
        return scores


class QWenLMHeadModel(QWenPreTrainedModel, GenerationMixin):
    def __init__(self, config: QWenConfig) -> None:
        super().__init__(config)
        self.transformer = QWenModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # its cache is a tuple, and no cache at all is how it knows the first pass

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, past_key_values: Any = None, inputs_embeds: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {
            "input_ids": input_ids[:, -1:] if past_key_values else input_ids,
            "past_key_values": past_key_values or None,
            "use_cache": kwargs.get("use_cache"),
            "attention_mask": kwargs.get("attention_mask"),
        }

    def forward(
        self,
        input_ids: Any = None,
        past_key_values: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        use_cache: Any = None,
        output_attentions: Any = None,
        output_hidden_states: Any = None,
        return_dict: Any = None,
    ) -> CausalLMOutputWithPast:
        found = self.transformer(input_ids, past_key_values=past_key_values, attention_mask=attention_mask)
        return CausalLMOutputWithPast(
            logits=self.lm_head(found.last_hidden_state), past_key_values=found.past_key_values
        )

    def chat(
        self,
        tokenizer: Any,
        query: str,
        history: list[tuple[str, str]] | None,
        system: str = "You are a helpful assistant.",
        append_history: bool = True,
        stream: Any = None,
        stop_words_ids: list[list[int]] | None = None,
        generation_config: Any = None,
        **kwargs: Any,
    ) -> tuple[str, list[tuple[str, str]]]:
        def enc(text: str) -> list[int]:
            return tokenizer.encode(text, allowed_special=set(tokenizer.IMAGE_ST))

        history = [] if history is None else history
        line, begin, end = enc("\n"), tokenizer.im_start_id, tokenizer.im_end_id
        ids = [begin, *enc("system"), *line, *enc(system), end]
        for asked, answered in [*history, (query, None)]:
            ids += [*line, begin, *enc("user"), *line, *enc(asked), end, *line, begin, *enc("assistant"), *line]
            if answered is not None:
                ids += [*enc(answered), end]
        found = self.generate(
            torch.tensor([ids], device=self.device),
            stop_words_ids=[*(stop_words_ids or []), [end], [begin]],
            return_dict_in_generate=False,
            generation_config=generation_config,
            **kwargs,
        )
        said = found[0, len(ids) :].tolist()
        cut = next((at for at, token in enumerate(said) if token in (begin, end, tokenizer.eod_id)), len(said))
        response = tokenizer.decode(said[:cut], errors="replace").strip()
        if append_history:
            history.append((query, response))
        return response, history

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: Any = None,
        assistant_model: Any = None,
        streamer: Any = None,
        **kwargs: Any,
    ) -> Any:
        words = kwargs.pop("stop_words_ids", None)
        if words:
            config = generation_config if generation_config is not None else self.generation_config
            logits_processor = LogitsProcessorList([*(logits_processor or []), _StopWords(words, config.eos_token_id)])
        return super().generate(
            inputs,
            generation_config=generation_config,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            synced_gpus=synced_gpus,
            assistant_model=assistant_model,
            streamer=streamer,
            **kwargs,
        )


def build() -> tuple[QWenLMHeadModel, QWenTokenizer]:
    """The stand-in and its tokenizer."""
    tokenizer = QWenTokenizer()
    torch.manual_seed(5)
    visual = {"width": 16, "output_dim": 32, "image_start_id": tokenizer.img_start_id}
    config = QWenConfig(vocab_size=len(tokenizer), visual=visual, architectures=["QWenLMHeadModel"])
    model = QWenLMHeadModel(config).eval()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eod_id, pad_token_id=tokenizer.eod_id, do_sample=True, top_p=0.3, max_new_tokens=512
    )
    return model, tokenizer
