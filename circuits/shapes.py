"""Models known by their published sizes alone: their nodes can be counted, or random weights drawn, without a file.

Sources: the `config.json` of gpt2, gpt2-medium, facebook/opt-1.3b, facebook/opt-2.7b, meta-llama/Llama-2-7b-hf and
HuggingFaceTB/SmolLM2-135M-Instruct (Radford et al. 2019; Zhang et al. 2022; Touvron et al. 2023; Allal et al. 2025).
"""

from __future__ import annotations

from .config import Config, Rope

SHAPES = {
    "gpt2": Config(layers=12, width=768, heads=12, context=1024, vocabulary=50257),
    "gpt2-medium": Config(layers=24, width=1024, heads=16, context=1024, vocabulary=50257),
    "opt-1.3b": Config(
        layers=24, width=2048, heads=32, context=2048, vocabulary=50272, family="opt", activation="relu"
    ),
    "opt-2.7b": Config(
        layers=32, width=2560, heads=32, context=2048, vocabulary=50272, family="opt", activation="relu"
    ),
    "llama2-7b": Config(
        layers=32, width=4096, heads=32, inner=11008, context=4096, vocabulary=32000, family="llama",
        activation="silu", tied=False,
    ),
    "smollm2": Config(
        layers=30, width=576, heads=9, kv_heads=3, inner=1536, context=8192, vocabulary=49152, family="llama",
        activation="silu", rope=Rope(1e5),
    ),
}  # fmt: skip
