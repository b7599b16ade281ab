"""Small GGUF files, written by the `gguf` package from a transformers Llama as llama.cpp's converter does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
from gguf import GGMLQuantizationType as Type

WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ALPHABET = [chr(ord("A") + i) for i in range(26)] + [chr(ord("a") + i) for i in range(8)] + ["Ġ", "1", "2", "AB"]
SPECIAL = ["<|endoftext|>", "<|im_start|>"]


def stored_name(name: str) -> str:
    """A Hugging Face name as GGUF has it."""
    base = name.removesuffix(".weight")
    if base in WHOLE:
        return f"{WHOLE[base]}.weight"
    _, _, layer, part = base.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.weight"


def turned(weight: Any, heads: int) -> Any:
    """llama.cpp's order of the rows of q and k."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(
    path: Path,
    model: Any,
    type_of: Any = lambda name: Type.F32,
    *,
    raw: Mapping[str, Any] | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """Write `model` with the type that `type_of` gives each matrix; return each tensor as the file holds it, float32.

    raw: bytes (rows, bytes) in place of a matrix, for types that `gguf` cannot write. keys: changed or more metadata,
    `__` for a dot; None leaves one out.
    """
    config, found = model.config, {}
    writer = gguf.GGUFWriter(path, "llama")
    for key, (form, value) in metadata(config).items():
        value = keys.pop(key.replace(".", "__"), value)
        if value is not None:
            getattr(writer, f"add_{form}")(key, value)
    for key, value in keys.items():
        form = {str: "string", float: "float32", int: "uint32", list: "array"}[type(value)]
        getattr(writer, f"add_{form}")(key.replace("__", "."), value)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight, kind = tensor.float().numpy(), Type.F32 if tensor.ndim == 1 else type_of(name)
        if name in (raw or {}):
            data = raw[name]  # type: ignore[index]
        else:
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(
                name.split(".")[-2]
            )
            data = gguf.quantize(turned(weight, heads) if heads else weight, kind)
        found[name] = gguf.dequantize(data, kind)
        writer.add_tensor(stored_name(name), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found


def metadata(config: Any) -> dict[str, tuple[str, Any]]:
    """Key → kind and value, as llama.cpp's converter writes what matters."""
    rope, words = config.rope_parameters, SPECIAL + ALPHABET
    assert len(words) == config.vocab_size
    keys = {
        "llama.block_count": ("uint32", config.num_hidden_layers),
        "llama.context_length": ("uint32", config.max_position_embeddings),
        "llama.embedding_length": ("uint32", config.hidden_size),
        "llama.feed_forward_length": ("uint32", config.intermediate_size),
        "llama.attention.head_count": ("uint32", config.num_attention_heads),
        "llama.attention.head_count_kv": ("uint32", config.num_key_value_heads),
        "llama.attention.layer_norm_rms_epsilon": ("float32", config.rms_norm_eps),
        "llama.attention.key_length": ("uint32", config.head_dim),
        "llama.attention.value_length": ("uint32", config.head_dim),
        "llama.rope.dimension_count": ("uint32", config.head_dim),
        "llama.rope.freq_base": ("float32", rope["rope_theta"]),
        "llama.vocab_size": ("uint32", config.vocab_size),
        "tokenizer.ggml.model": ("string", "gpt2"),
        "tokenizer.ggml.pre": ("string", "smollm"),
        "tokenizer.ggml.tokens": ("array", words),
        "tokenizer.ggml.token_type": ("array", [3] * len(SPECIAL) + [1] * len(ALPHABET)),
        "tokenizer.ggml.merges": ("array", ["A B"]),
    }
    if rope["rope_type"] == "linear":
        keys["llama.rope.scaling.type"] = ("string", "linear")
        keys["llama.rope.scaling.factor"] = ("float32", rope["factor"])
    return keys
