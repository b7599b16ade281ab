"""The softmax cell in a mapped model: scores beyond it, held or refused; its gain; its tails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import write_small

import dsmachine as ds
from dsmachine.circuits.cells.node import KNEE
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import operating_point

TEXT = "But, soft! what light"
Array = Any


@pytest.fixture(scope="module")
def bundled() -> tuple[ds.Model, list[int], Any]:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode(TEXT)
    return model, ids, calibrate(model, len(ids))


def scores(bundled: Any, **options: Any) -> tuple[ds.Circuit, Array, Array, Array]:
    """(circuit, its first layer's scores that exist, all logits, attention) at rest."""
    model, ids, ranges = bundled
    circuit = ds.map_model(model, len(ids), ranges=ranges, **options)
    run = operating_point(circuit, {"embed": model.embed(ids)})
    assert not run.saturated
    here = circuit.arrays["h.0.attn.score"].present
    return circuit, run.logical("h.0.attn.score")[0][here], run.logical("logits")[0], run.logical("h.0.attn.prob")[0]


def held_scores(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "beyond the softmax cell" in r.getMessage()]


def test_scores_beyond_the_cell_are_held(bundled: Any, caplog: pytest.LogCaptureFixture) -> None:
    small = load_technology(overrides={"supply.swing": 0.1})  # 3.4 nats
    circuit, held, _, _ = scores(bundled, technology=small)
    assert 3.1 < np.abs(held).max() <= 3.5
    [said] = held_scores(caplog)
    assert "scores of 3 layers go beyond the softmax cell" in said and "held at ±3.5 nats" in said
    circuit, held, _, _ = scores(bundled, technology=small, softmax_clamp=3.0)
    assert 2.7 < np.abs(held).max() <= 3.0
    assert circuit.notes["softmax_clamp"] == 3.0
    assert len(held_scores(caplog)) == 1


def test_the_clamp_is_exactly_linear_inside(bundled: Any) -> None:
    _, exact, ideal, _ = scores(bundled)
    _, held, _, _ = scores(bundled, softmax_clamp=4.0)
    inside = np.abs(exact) < (1 - KNEE) * 4.0
    assert 0.5 < inside.mean() < 1
    assert held[inside] == pytest.approx(exact[inside], abs=1e-12)
    assert np.abs(held).max() <= 4.0
    _, _, wide, _ = scores(bundled, softmax_clamp=17.0)
    assert wide == pytest.approx(ideal, abs=1e-9)


def test_anneal_with_held_scores_settles(bundled: Any) -> None:
    found = ds.anneal(bundled[0], TEXT, softmax_clamp=2.0, timer_prompts=0)
    assert found.run.settled and 1e-3 < found.logit_error < 1


def test_gain_multiplies_scores(bundled: Any) -> None:
    circuit, exact, _, attention = scores(bundled, softmax_gain=1.15)
    z = np.full(attention.shape, -np.inf)
    z[circuit.arrays["h.0.attn.score"].present] = 1.15 * exact
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    assert attention == pytest.approx(e / e.sum(axis=-1, keepdims=True), abs=1e-12)


def test_every_row_has_a_tail_of_its_branches(bundled: Any) -> None:
    model, ids, ranges = bundled
    circuit = ds.map_model(model, len(ids), ranges=ranges)
    tail = circuit.arrays["h.0.attn.prob.tail"]
    farads = np.broadcast_to(tail.capacitance, tail.shape)[0, :, 0]
    assert farads == pytest.approx(0.2e-15 * np.arange(1, len(ids) + 1))
    at_once = load_technology(overrides={"softmax.junction_capacitance": 0.0})
    assert "h.0.attn.prob.tail" not in ds.map_model(model, len(ids), ranges=ranges, technology=at_once).arrays


@pytest.mark.spice
def test_a_block_with_all_of_it_in_ngspice(tmp_path: Any) -> None:
    model = ds.load_model(str(write_small(tmp_path / "small")))
    ids = model.encode("abcd")
    circuit = ds.map_model(model, len(ids), softmax_clamp=0.5, softmax_gain=1.1, leakage=True)
    chip = ds.fabricate(circuit, seed=2, branch_offset=0.01, weight_bits=8)

    found = ds.crosscheck(chip, select="h.0", inputs={"embed": model.embed(ids)}, engine="batch")
    assert found.passed, found.by_array
    assert "h.0.attn.prob.tail" in found.by_array
