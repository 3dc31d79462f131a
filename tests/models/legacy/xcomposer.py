"""A stand-in for InternLM-XComposer2.5: its decoder's tree and tensor names, its signatures, its way with prompts.

Written from what is published about the model; of its code nothing is here. Very small, of random weights, with a mere
sketch of the tower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from models.legacy import xcomposer_tokenizer
from models.legacy.layers import RMSNorm, attend, rotate
from PIL import Image
from torch import nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

SIDE = 8  # pixels of a tile; four features each


class InternLMXcomposer2Config(PretrainedConfig):
    model_type = "internlm2"

    def __init__(
        self,
        vocab_size: int = 80,
        hidden_size: int = 32,
        intermediate_size: int = 40,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        num_key_value_heads: int = 2,
        rms_norm_eps: float = 1e-5,
        initializer_range: float = 0.3,
        use_cache: bool = True,
        pad_token_id: int = 2,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.rms_norm_eps = rms_norm_eps
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        super().__init__(
            pad_token_id=pad_token_id,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )


class PLoRA(nn.Linear):
    """A linear layer with low-rank weights of its own for the places of an image."""

    def __init__(self, in_features: int, out_features: int, lora_r: int = 4) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.Plora_A = nn.Linear(in_features, lora_r, bias=False)
        self.Plora_B = nn.Linear(lora_r, out_features, bias=False)

    def forward(self, x: torch.Tensor, im_mask: torch.Tensor | None = None) -> torch.Tensor:
        out = super().forward(x)
        if im_mask is not None and im_mask.any():
            out[im_mask] += self.Plora_B(self.Plora_A(x[im_mask]))
        return out


class InternLM2Attention(nn.Module):
    def __init__(self, config: InternLMXcomposer2Config) -> None:
        super().__init__()
        self.groups = config.num_attention_heads // config.num_key_value_heads
        self.size = config.hidden_size // config.num_attention_heads
        self.wqkv = PLoRA(config.hidden_size, (config.num_attention_heads + 2 * config.num_key_value_heads) * self.size)
        self.wo = PLoRA(config.hidden_size, config.hidden_size)

    def forward(self, x: torch.Tensor, mask: Any, positions: Any, past: Any, im_mask: Any) -> tuple[torch.Tensor, Any]:
        batch, width, hidden = x.shape
        # Of each group: its queries, then a key, then a value.
        parts = self.wqkv(x, im_mask).view(batch, width, -1, self.groups + 2, self.size)
        q = parts[..., : self.groups, :].reshape(batch, width, -1, self.size).transpose(1, 2)
        k, v = parts[..., -2, :].transpose(1, 2), parts[..., -1, :].transpose(1, 2)
        q, k = rotate(q, positions), rotate(k, positions)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        out = attend(q, k, v, mask).transpose(1, 2).reshape(batch, width, hidden)
        return self.wo(out, im_mask), (k, v)


class InternLM2MLP(nn.Module):
    def __init__(self, config: InternLMXcomposer2Config) -> None:
        super().__init__()
        self.w1 = PLoRA(config.hidden_size, config.intermediate_size)
        self.w3 = PLoRA(config.hidden_size, config.intermediate_size)
        self.w2 = PLoRA(config.intermediate_size, config.hidden_size)

    def forward(self, x: torch.Tensor, im_mask: Any) -> torch.Tensor:
        return self.w2(nn.functional.silu(self.w1(x, im_mask)) * self.w3(x, im_mask), im_mask)


class InternLM2DecoderLayer(nn.Module):
    def __init__(self, config: InternLMXcomposer2Config) -> None:
        super().__init__()
        self.attention = InternLM2Attention(config)
        self.feed_forward = InternLM2MLP(config)
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: torch.Tensor, mask: Any, positions: Any, past: Any, im_mask: Any) -> tuple[torch.Tensor, Any]:
        seen, present = self.attention(self.attention_norm(x), mask, positions, past, im_mask)
        x = x + seen
        return x + self.feed_forward(self.ffn_norm(x), im_mask), present


class InternLM2PreTrainedModel(PreTrainedModel):
    config_class = InternLMXcomposer2Config
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        if "norm" not in type(module).__name__.lower():
            for parameter in module.parameters(recurse=False):
                parameter.data.normal_(0.0, self.config.initializer_range)


class InternLM2Model(InternLM2PreTrainedModel):
    def __init__(self, config: InternLMXcomposer2Config) -> None:
        super().__init__(config)
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([InternLM2DecoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tok_embeddings

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        use_cache: Any = None,
        output_attentions: Any = None,
        output_hidden_states: Any = None,
        return_dict: Any = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        im_mask = kwargs.get("im_mask")
        if inputs_embeds is None:
            inputs_embeds, im_mask = self.tok_embeddings(input_ids), None  # words only, whatever the prompt had
        x = inputs_embeds
        before = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        if position_ids is None:
            position_ids = torch.arange(before, before + x.shape[1], device=x.device)[None]
        presents = []
        for index, layer in enumerate(self.layers):
            past = None if past_key_values is None else past_key_values[index]
            x, present = layer(x, attention_mask, position_ids, past, im_mask)
            presents.append(present)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(x), past_key_values=tuple(presents))


class CLIPVisionTower(nn.Module):
    """Tiles to features, with learned marks between the whole image, its rows and its parts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vision_tower = nn.Module()
        self.vision_tower.vision_model = nn.Sequential(nn.Linear(3 * 16, width), nn.Tanh())

    def forward(self, images: list[torch.Tensor], glb_GN: torch.Tensor, sub_GN: torch.Tensor) -> Any:
        rows = []
        for image in images:
            tiles = image.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).permute(0, 2, 3, 1, 4).flatten(3)
            parts = self.vision_tower.vision_model(tiles)
            lines = torch.cat([parts, sub_GN.expand(1, parts.shape[1], 1, -1)], 2).flatten(1, 2)
            rows.append(torch.cat([lines, glb_GN], 1))
        return torch.cat(rows, 1), [row.shape[1] for row in rows]


class InternLMXComposer2ForCausalLM(InternLM2PreTrainedModel, GenerationMixin):
    def __init__(self, config: InternLMXcomposer2Config) -> None:
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tokenizer: Any = None
        seen = 24
        self.plora_glb_GN = nn.Parameter(torch.randn(1, 1, seen))
        self.plora_sub_GN = nn.Parameter(torch.randn(1, 1, 1, seen))
        self.vit = CLIPVisionTower(seen)
        self.vision_proj = nn.Sequential(
            nn.Linear(seen, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # its cache is a tuple, and no cache at all is how it knows the first pass

    def get_input_embeddings(self) -> nn.Module:
        return self.model.tok_embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def encode_img(self, image: Any, hd_num: int = 25) -> torch.Tensor:
        """Features ``(1, T, D)`` of the image at a path, of more tiles where more are allowed."""
        assert isinstance(image, str)
        picture = Image.open(image)
        columns = max(1, min(round(hd_num**0.5), -(-picture.width // (2 * SIDE))))
        rows = max(1, min(hd_num // columns, -(-picture.height * columns // picture.width)))
        pixels = np.asarray(picture.resize((columns * SIDE, rows * SIDE))) / 255.0
        return self.img2emb(torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device, self.dtype))[0]

    def img2emb(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features, _ = self.vit([image], self.plora_glb_GN, self.plora_sub_GN)
        features = self.vision_proj(features)
        real = torch.ones(features.shape[:2], dtype=torch.long)
        return features, real, -100 * real

    def interleav_wrap_chat(
        self,
        query: str,
        image: list[str],
        history: list[tuple[str, str]] = [],  # noqa: B006
        meta_instruction: str = "",
        max_length: int = 16384,
        hd_num: int = 24,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, int]:
        def turn(role: str, text: str) -> str:
            return f"[UNUSED_TOKEN_146]{role}\n{text}[UNUSED_TOKEN_145]\n"

        prompt = turn("system", meta_instruction) if meta_instruction else ""
        for asked, answered in history:
            prompt += turn("user", asked) + turn("assistant", answered)
        prompt += turn("user", query) + "[UNUSED_TOKEN_146]assistant\n"
        if len(image) == 1 and "<ImageHere>" not in prompt:
            prompt = "<ImageHere>" + prompt
        if len(image) > 1:
            hd_num = 6
        rows, masks, first = [], [], True
        for index, part in enumerate(prompt.split("<ImageHere>")):
            if first or part:
                ids = self.tokenizer(part, return_tensors="pt", add_special_tokens=first).input_ids.long()
                rows.append(self.model.tok_embeddings(ids.to(self.device)))
                masks.append(torch.zeros(rows[-1].shape[:2]))
                first = False
            if index < len(image):
                rows.append(self.encode_img(image[index], hd_num))
                masks.append(torch.ones(rows[-1].shape[:2]))
        embeddings = torch.cat(rows, 1)[:, :max_length]
        return {"inputs_embeds": embeddings}, torch.cat(masks, 1)[:, :max_length].bool(), embeddings.shape[1]

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        use_cache: Any = None,
        output_attentions: Any = None,
        output_hidden_states: Any = None,
        return_dict: Any = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        found = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            im_mask=kwargs.get("im_mask"),
        )
        return CausalLMOutputWithPast(
            logits=self.output(found.last_hidden_state).float(), past_key_values=found.past_key_values
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        past_key_values: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        im_mask: Any = None,
        infer_mode: str = "base",
        **kwargs: Any,
    ) -> dict[str, Any]:
        if past_key_values:
            input_ids = input_ids[:, -1:]
        position_ids = None
        if attention_mask is not None:
            position_ids = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)
            position_ids = position_ids[:, -1:] if past_key_values else position_ids
        first = inputs_embeds is not None and not past_key_values
        return {
            **({"inputs_embeds": inputs_embeds} if first else {"input_ids": input_ids}),
            "position_ids": position_ids,
            "past_key_values": past_key_values or None,
            "use_cache": kwargs.get("use_cache"),
            "attention_mask": attention_mask,
            "im_mask": im_mask,
            "infer_mode": infer_mode,
        }

    @torch.no_grad()
    def chat(
        self,
        tokenizer: Any,
        query: str,
        image: list[str] = [],  # noqa: B006
        hd_num: int = 24,
        history: list[tuple[str, str]] = [],  # noqa: B006
        streamer: Any = None,
        max_new_tokens: int = 1024,
        do_sample: bool = True,
        num_beams: int = 1,
        temperature: float = 1.0,
        top_p: float = 0.8,
        repetition_penalty: float = 1.005,
        infer_mode: str = "base",
        use_meta: bool = False,
        meta_instruction: str = "",
        **kwargs: Any,
    ) -> tuple[str, list[tuple[str, str]]]:
        inputs, im_mask, _ = self.interleav_wrap_chat(
            query, image, history=history, meta_instruction=meta_instruction if use_meta else "", hd_num=hd_num
        )
        found = self.generate(
            **inputs,
            streamer=streamer,
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
            do_sample=do_sample,
            temperature=temperature,
            top_p=top_p,
            eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(["[UNUSED_TOKEN_145]"])[0]],
            repetition_penalty=repetition_penalty,
            im_mask=im_mask,
            infer_mode=infer_mode,
            **kwargs,
        )
        response = tokenizer.decode(found[0].tolist(), skip_special_tokens=True).split("[UNUSED_TOKEN_145]")[0]
        return response, [*history, (query, response)]


def build() -> tuple[InternLMXComposer2ForCausalLM, Any]:
    """The stand-in and its tokenizer."""
    tokenizer = xcomposer_tokenizer.tokenizer()
    torch.manual_seed(6)
    config = InternLMXcomposer2Config(vocab_size=len(tokenizer), architectures=["InternLMXComposer2ForCausalLM"])
    config.model_type = "internlmxcomposer2"  # what the checkpoint's config says, against its class
    model = InternLMXComposer2ForCausalLM(config).eval()
    model.tokenizer = tokenizer
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=2)
    return model, tokenizer
