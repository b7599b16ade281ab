"""Operations of a forward pass, counted by torch's own counter, and joules of 45 nm."""

from typing import Any

import pytest

from dsmachine.circuits.config import Config
from dsmachine.energy.digital import operations


def test_one_layer_by_hand() -> None:
    """d = 4, one head, inner 16, V = 10, three tokens."""
    found = operations(Config(layers=1, width=4, heads=1, context=8, vocabulary=10), 3)
    matrices = 4 * 12 + 4 * 4 + 2 * 4 * 16
    assert found.multiply_accumulates == 3 * matrices + 2 * 4 * (1 + 2 + 3) + 4 * 10
    norms = 5 * 4 + 2 * 3 * 4  # biases of norms beside the matrices', then two sums each
    assert found.accumulates == 3 * (12 + 4 + 16 + 4 + 3 * 4 + norms - 5 * 4 + 2 * 4) + (1 + 2 + 3)
    assert found.joules == pytest.approx(4.6e-12 * found.multiply_accumulates + 0.9e-12 * found.accumulates)
    assert found.joules_of_sums == pytest.approx(0.9e-12 * (found.multiply_accumulates + found.accumulates))


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama"])
def test_products_are_those_that_torch_counts(family: str) -> None:
    """torch counts two FLOP a multiply-accumulate, attention of all pairs of positions, and logits at every token."""
    pytest.importorskip("torch")
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dsmachine.energy.torch_models import hf_config

    kinds: dict[str, dict[str, Any]] = {
        "gpt2": {"family": "gpt2", "activation": "gelu"},
        "opt": {"family": "opt", "activation": "relu"},
        "llama": {"family": "llama", "activation": "silu", "inner": 40, "kv_heads": 2, "tied": False},
    }
    config = Config(layers=2, width=24, heads=6, context=16, vocabulary=50, **kinds[family])
    import transformers

    table = hf_config(config)
    model = transformers.AutoModelForCausalLM.from_config(table, attn_implementation="eager").eval()
    tokens = 8
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    pairs = 2 * config.layers * config.width
    masked = pairs * (tokens * tokens - tokens * (tokens + 1) // 2)
    other_logits = (tokens - 1) * config.vocabulary * config.width
    found = operations(config, tokens).multiply_accumulates
    assert found + masked + other_logits == counter.get_total_flops() // 2
