"""Models of transformers on a device, and the steps of them that are timed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..circuits.checkpoints import find_model
from ..circuits.config import Config
from .torch_device import Device, needed

Step = Callable[[], Any]
SIGMA = 0.02  # of random weights, as both families begin with


def torch_model(path: str, config: Config, place: Device, precision: str) -> tuple[Any, str]:
    """(the transformers model on the device, where its weights are from)."""
    transformers = needed("transformers")
    dtype = getattr(place.torch, precision)
    folder = find_model(path)
    if folder is not None and any(folder.glob("*.safetensors")):
        options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
        return model.to(place.place).eval(), "its own"
    with place.place:  # made where they are used: drawing 7e9 numbers on a processor takes minutes
        model = transformers.AutoModelForCausalLM.from_config(hf_config(config), dtype=dtype)
    return model.eval(), f"random, σ {SIGMA}"


def hf_config(config: Config) -> Any:
    """The same sizes as transformers writes them."""
    transformers = needed("transformers")
    if config.family == "gpt2":
        return transformers.GPT2Config(
            n_layer=config.layers, n_embd=config.width, n_head=config.heads, n_positions=config.context,
            vocab_size=config.vocabulary, layer_norm_epsilon=config.epsilon,
            activation_function={"gelu": "gelu_new"}.get(config.activation, config.activation), initializer_range=SIGMA,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
    shared = {
        "hidden_size": config.width, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "max_position_embeddings": config.context, "vocab_size": config.vocabulary, "tie_word_embeddings": config.tied,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if config.family == "opt":
        own = {"ffn_dim": config.inner, "word_embed_proj_dim": config.width, "init_std": SIGMA}
        return transformers.OPTConfig(**shared, **own, activation_function=config.activation)
    return transformers.LlamaConfig(
        **shared, intermediate_size=config.inner, num_key_value_heads=config.kv_heads, head_dim=config.head_width,
        rms_norm_eps=config.epsilon, hidden_act=config.activation, initializer_range=SIGMA,
    )  # fmt: skip


def prefill(model: Any, ids: Any) -> Step:
    """Logits (batch, tokens, vocabulary) of all tokens."""
    return lambda: model(input_ids=ids, use_cache=False).logits


def decode(model: Any, ids: Any) -> Step:
    """Logits (batch, 1, vocabulary) of one token after those of `ids`, whose keys and values are kept: the same step
    whenever it is called."""
    torch, cache = needed("torch"), needed("transformers").DynamicCache()
    known = inspect.signature(model.forward).parameters
    keeping = {"cache" if "cache" in known else "past_key_values": cache, "use_cache": True}  # its newer name
    with torch.inference_mode():
        model(input_ids=ids, **keeping)
    kept = [(layer.keys, layer.values) for layer in cache.layers]
    token = ids[:, :1].contiguous()

    def step() -> Any:
        logits = model(input_ids=token, **keeping).logits
        for layer, (keys, values) in zip(cache.layers, kept, strict=True):
            layer.keys, layer.values = keys, values
        return logits

    return step
