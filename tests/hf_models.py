"""Small random OPT and Llama models, made and saved by transformers itself, and its logits in float64.

Weights are large enough that attention, norms and activations leave their linear range.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 40

OPT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "ffn_dim": 56,
    "max_position_embeddings": 16,
    "num_attention_heads": 3,
    "pad_token_id": 1,
    "dropout": 0.0,
}
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 24,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LLAMAS: dict[str, dict[str, Any]] = {
    "grouped": {},
    "as many keys, untied": {"num_key_value_heads": 6, "tie_word_embeddings": False},
    "one key, wide heads": {"num_key_value_heads": 1, "head_dim": 8},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    "llama3": {"rope_parameters": LLAMA3_ROPE, "head_dim": 8},
}


def make(family: str, seed: int = 0, **changes: Any) -> Any:
    """A transformers model in float32, eval mode."""
    torch = pytest.importorskip("torch")
    import transformers

    kind, table = {"opt": ("OPT", OPT), "llama": ("Llama", LLAMA)}[family]
    config = getattr(transformers, f"{kind}Config")(**{**table, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            gain = weight.ndim == 1 and name.endswith("weight")
            scale = 2 / np.sqrt(weight.shape[-1]) if weight.ndim == 2 and "embed" not in name else 0.4
            weight.copy_(torch.tensor((1.0 if gain else 0.0) + scale * rng.standard_normal(tuple(weight.shape))))
    return model.eval()


def write(folder: Path, model: Any, **options: Any) -> Path:
    """`model` as transformers saves it, with a tokenizer of single characters."""
    model.save_pretrained(folder, **options)
    words = {chr(ord("A") + i): i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def some_tokens(count: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, VOCABULARY, count)


def logits(model: Any, tokens: Any) -> Any:
    """As transformers computes them in the model's own precision."""
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens)[None]).logits[0].numpy()


def exact_logits(model: Any, tokens: Any) -> Any:
    return logits(exact(model, len(tokens)), tokens)


def exact(model: Any, positions: int) -> Any:
    """In float64 throughout: transformers' Llama norms and angles are float32 whatever the model is.

    Norms become torch's own, angles are formed anew from the frequencies in float64; attention is torch's, since
    transformers' eager one takes its softmax in float32.
    """
    import torch

    model = model.double()
    model.set_attn_implementation("sdpa")
    if model.config.model_type == "llama":
        inner = model.model
        for layer in inner.layers:
            for name in ("input_layernorm", "post_attention_layernorm"):
                setattr(layer, name, _torch_norm(getattr(layer, name)))
        inner.norm = _torch_norm(inner.norm)
        angles = torch.outer(torch.arange(positions).double(), _frequencies(model.config))
        angles = torch.cat((angles, angles), -1)[None]
        inner.rotary_emb.forward = lambda x, position_ids: (angles.cos(), angles.sin())
    return model


def _torch_norm(norm: Any) -> Any:
    import torch

    new = torch.nn.RMSNorm(norm.weight.shape[0], eps=norm.variance_epsilon, dtype=torch.float64)
    new.weight = norm.weight
    return new


def _frequencies(config: Any) -> Any:
    """Written out after transformers' formulas, each pair by itself."""
    import torch

    rope, width = config.rope_parameters, config.head_dim
    found = []
    for i in range(0, width, 2):
        f = 1.0 / rope["rope_theta"] ** (i / width)
        if rope["rope_type"] == "linear":
            f /= rope["factor"]
        elif rope["rope_type"] == "llama3":
            low, high = rope["low_freq_factor"], rope["high_freq_factor"]
            context = rope["original_max_position_embeddings"]
            length = 2 * np.pi / f
            if length > context / low:
                f /= rope["factor"]
            elif length >= context / high:
                smooth = (context / length - low) / (high - low)
                f = (1 - smooth) * f / rope["factor"] + smooth * f
        found.append(f)
    return torch.tensor(found, dtype=torch.float64)
