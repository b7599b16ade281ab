"""The baseline runs the model that it says: sizes, steps, and joules of a device of known power."""

from __future__ import annotations

from typing import Any

import pytest

from dsmachine.circuits.config import Config
from dsmachine.circuits.errors import Error
from dsmachine.circuits.families import parameters
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.baseline import WARM, measure, repeated
from dsmachine.energy.power_meter import PowerMeter
from dsmachine.energy.torch_device import Device
from dsmachine.energy.torch_models import decode, hf_config, prefill

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

SMALL = {
    "gpt2": Config(layers=2, width=24, heads=3, context=16, vocabulary=40),
    "opt": Config(layers=2, width=24, heads=3, context=16, vocabulary=40, family="opt", activation="relu", inner=56),
    "llama": Config(
        layers=2, width=24, heads=6, kv_heads=2, context=16, vocabulary=40, family="llama", activation="silu", inner=40
    ),
}
PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "opt-1.3b": 1_315_758_080,
    "opt-2.7b": 2_651_596_800,
    "llama2-7b": 6_738_415_616,
    "smollm2": 134_515_008,
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_as_many_parameters_as_published_and_as_transformers_makes(name: str) -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(hf_config(SHAPES[name]))
    made = sum(weight.numel() for weight in model.parameters())
    assert made == parameters(SHAPES[name]) == PUBLISHED[name]


@pytest.mark.parametrize("family", SMALL)
def test_a_decoded_token_has_the_logits_of_the_whole_text(family: str) -> None:
    torch.manual_seed(0)
    config = SMALL[family]
    model = transformers.AutoModelForCausalLM.from_config(hf_config(config)).eval()
    ids = torch.randint(config.vocabulary, (2, 5))
    step = decode(model, ids)
    with torch.inference_mode():
        whole = prefill(model, torch.cat([ids, ids[:, :1]], dim=1))()
        for _ in range(2):  # the same step again: nothing was kept
            torch.testing.assert_close(step(), whole[:, -1:], rtol=1e-4, atol=1e-5)
    assert whole.shape == (2, 6, config.vocabulary)


def test_joules_of_a_loop_are_its_power_times_its_time() -> None:
    """By a clock that the steps themselves move, 2 ms each: warm-up is not counted."""
    ticks = [0]

    def step() -> None:
        ticks[0] += 1

    def clock() -> float:
        return 0.002 * ticks[0]

    meter = PowerMeter(lambda: 40.0 * clock(), "a clock")
    steps, took, joules = repeated(step, Device("cpu"), meter, 0.05, clock)
    assert 25 <= steps <= 26 and ticks[0] == steps + WARM
    assert took == pytest.approx(0.002 * steps)
    assert joules == pytest.approx(40.0 * took)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(Error, match="needs transformers, which is not installed: pip install"):
        measure(["gpt2"], device="cpu")
