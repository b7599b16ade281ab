"""The serial machine: each token's circuit against the reference, banks and their droop, text written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_models import make, some_tokens, write

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.cells.hold import HOLDS, drooped, leakage
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.mapping.bank import BANK, HELD, SELECT, WRITE
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.circuits.reference import calibrate_ranges, forward
from dsmachine.circuits.technology import load_technology

TEXT = "But, soft!"
WIDE = load_technology("cmos45", overrides={"supply.swing": 4.0})


def elders(circuit: ds.Circuit, values: dict[str, Any], place: int) -> dict[str, Any]:
    """What the banks hold of tokens before `place`, from the activations of the whole text."""
    held = {}
    for name, node in circuit.arrays.items():
        if name.endswith(HELD):
            view = circuit.terms[name.removesuffix(HELD) + BANK + WRITE].sources[1]
            shape = (1, node.shape[0], *circuit.arrays[view.array].shape[1:])
            held[name] = np.where(
                np.arange(node.shape[0]).reshape(-1, *(1,) * (len(node.shape) - 1)) < place,
                view.of(np.reshape(values[view.array], shape))[0],
                0,
            )
    return held


def check(model: Model, tokens: Any, ranges: Ranges, limit: float, **options: Any) -> None:
    count = len(tokens)
    reading = {"softmax": "taylor", "order": 3} if model.config.softmax == "taylor3" else {}
    values = forward(model, tokens, **reading)
    for place in (1, count // 2, count - 1):
        circuit = ds.map_model(model, count, tokens="serial", place=place, ranges=ranges, **options)
        assert circuit.arrays["logits"].shape == (1, model.config.vocabulary)
        inputs = {"embed": model.embed(tokens)[place : place + 1], SELECT: np.eye(count)[place]}
        run = ds.operating_point(circuit, inputs | elders(circuit, values, place))
        assert run.saturated == {}
        assert np.abs(run.logical("logits")[0, 0] - values["logits"][place]).max() <= limit


@pytest.mark.parametrize("name", ["tiny-shakespeare", "tiny-shakespeare-taylor3"])
def test_each_token_has_the_logits_of_the_whole_text(name: str) -> None:
    model = ds.load_model(name)
    tokens = np.array(model.encode(TEXT))
    check(model, tokens, calibrate(model, len(tokens)), 1e-9)


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_other_families(family: str, tmp_path: Path) -> None:
    model = ds.load_model(write(tmp_path, make(family)))
    tokens = some_tokens(9)
    ranges = Ranges(calibrate_ranges(model, model.decode([int(t) for t in tokens]), len(tokens)))
    check(model, tokens, ranges, 1e-3 if family == "opt" else 1e-9, technology=WIDE)


def greedy(model: Model, prompt: str, more: int) -> str:
    ids = model.encode(prompt)
    for _ in range(more):
        ids.append(int(forward(model, ids)["logits"][-1].argmax()))
    return model.decode(ids[-more:])


def test_it_writes_what_the_reference_writes() -> None:
    model = ds.load_model("tiny-shakespeare")
    found = ds.generate(model, TEXT, max_new_tokens=5, hold="ideal")
    assert found.text == greedy(model, TEXT, 5)
    assert len(found.tokens) == len(model.encode(TEXT)) + 3  # the first is loaded, the last not read
    assert max(token.logit_error for token in found.tokens) < 2.0**-8 and found.agreement == 1
    assert all(token.droop == 0 for token in found.tokens)
    assert found.seconds == pytest.approx(sum(token.seconds for token in found.tokens)) and found.joules > 0


def test_banks_droop_with_the_machines_own_time() -> None:
    leaky = load_technology(overrides={"switch.off_current": 69e-11})  # ten times a plain switch
    options: dict[str, Any] = {"max_new_tokens": 2, "technology": leaky}
    found = [ds.generate("tiny-shakespeare", TEXT[:4], hold=hold, **options) for hold in HOLDS[:2]]
    for run, amperes in zip(found, (69e-11, 0.69e-12), strict=True):
        waited = sum(token.seconds for token in run.tokens[:-1])
        assert run.tokens[-1].droop == pytest.approx(amperes * waited / 49e-15 / (0.5 / 1.5), rel=1e-6)
    assert found[0].tokens[-1].logit_error > 10 * found[1].tokens[-1].logit_error


def test_a_hold_capacitor() -> None:
    tech = load_technology()
    volts = np.array([0.1, -0.1, 1e-4, 0.0])
    after = drooped(volts, 1e-6, leakage(tech, "plain"), tech.switch.hold_capacitance)
    lost = 69e-12 * 1e-6 / 49e-15  # 1.4 mV
    assert after == pytest.approx([0.1 - lost, -0.1 + lost, 0.0, 0.0], abs=1e-15)
    assert leakage(tech, "ideal") == 0 and leakage(tech, "low-leakage") == pytest.approx(0.69e-12)
    hot = load_technology(temperature=320.15)
    assert leakage(hot, "low-leakage") == pytest.approx(4 * 0.69e-12)


@pytest.mark.parametrize("name", ["tiny-shakespeare", "tiny-shakespeare-taylor3"])
def test_it_is_one_machine_at_every_token(name: str) -> None:
    """Nodes, capacitors, units and conductances do not depend on the token; rotary positions and shut branches do."""
    model = ds.load_model(name)
    ranges = calibrate(model, 12)
    first, last = (ds.map_model(model, 12, tokens="serial", place=place, ranges=ranges) for place in (1, 11))
    assert first.node_count() == last.node_count()
    for array, node in first.arrays.items():
        other = last.arrays[array]
        assert np.allclose(node.capacitance, other.capacitance, rtol=1e-12, atol=0), array
        assert np.allclose(node.unit, other.unit, rtol=1e-12, atol=0), array
    for term, cell in first.terms.items():
        if hasattr(cell, "siemens"):
            assert np.allclose(cell.siemens(first), last.terms[term].siemens(last), rtol=1e-12, atol=0), term  # type: ignore[attr-defined]


def test_a_prompt_on_the_rails_is_refused_or_said(caplog: pytest.LogCaptureFixture) -> None:
    tight = load_technology(overrides={"supply.headroom": 0.8})
    with pytest.raises(ds.Error, match="saturate at the operating point"):
        ds.generate("tiny-shakespeare", "ZZZZ qqq xx", max_new_tokens=1, technology=tight)
    ds.generate("tiny-shakespeare", "ZZ", max_new_tokens=1, technology=tight, allow_saturation=True)
    assert "saturate at the operating point" in caplog.text


def test_banks_are_written_by_the_machine_not_by_converters() -> None:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode(TEXT)
    circuit = ds.map_model(model, len(ids), tokens="serial")
    meter = ds.EnergyMeter()
    inputs = {node.name: np.zeros(node.shape) for node in circuit.inputs()}
    ds.transient(circuit, inputs, duration=1e-9, settle_bits=0, observers=[meter])
    loaded = {e.phase: e.drawn for e in meter.report().entries if e.part == "converters"}
    assert loaded["load"][0] == pytest.approx(model.config.width * 4e-12)
    alone = ds.map_model(model, 2, tokens="serial")
    whole, fewer = (sum(node.area(load_technology()) for node in each.arrays.values()) for each in (circuit, alone))
    rows = 2 * model.config.layers * model.config.width * (len(ids) - 2)
    extra = rows * 2 * load_technology().node.area  # a capacitor and a follower each
    assert whole - fewer == pytest.approx(extra, rel=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "B"}, "prompt has 1 token"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0: use a whole number, 1 … "),
        ({"max_new_tokens": 1000}, "max_new_tokens is 1000: use a whole number, 1 … "),
        ({"hold": "good"}, "hold 'good' is unknown: use plain, low-leakage, ideal"),
    ],
)
def test_bad_requests_are_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ds.Error, match=words) as caught:
        ds.generate("tiny-shakespeare", **{"prompt": TEXT, **options})
    assert "\n" not in str(caught.value)
