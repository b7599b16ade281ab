"""A model whose weights are transistors: linear ones change nothing, bent ones and their chips do."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_cards import bent, resistor, square_pair
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.cells import Coupling, TransistorCoupling
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.devices.cell_card import cell_card
from dsmachine.circuits.devices.lag import Lag
from dsmachine.emulator import memory

Array = Any


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return ds.load_model(str(write_small(tmp_path_factory.mktemp("model"))))


def logits(machine: Any, model: Model) -> Array:
    run = ds.operating_point(machine, {"embed": model.embed(model.encode(PROMPT))}, precision="float64")
    return run.logical("logits")


def test_resistors_are_the_linear_machine(model: Model) -> None:
    linear, built = (ds.map_model(model, 4, device_card=card) for card in (None, resistor()))
    assert logits(built, model) == pytest.approx(logits(linear, model), abs=1e-10)
    for name, term in linear.terms.items():
        dense = isinstance(term, Coupling) and not term.elementwise and term.programmable
        assert isinstance(built.terms[name], TransistorCoupling if dense else type(term)), name
    assert linear.notes["device_card"] is None
    assert built.notes["device_card"]["unit"] == "pair"


def test_a_card_with_cells_builds_all_of_transistors(model: Model) -> None:
    """Resistors and a straight tanh pair change nothing; every node has feedback devices of its own."""
    t = np.linspace(-1, 1, 41)
    lag = Lag(np.array([[1e-10, 1e-11], [1e-10, 1e-11]]), 0.05)
    card = replace(resistor(), cells={"tanh": cell_card("tanh", t, t, 5e-6, lag)})
    linear, built = (ds.map_model(model, 4, device_card=each) for each in (None, card))
    assert logits(built, model) == pytest.approx(logits(linear, model), abs=1e-4 * np.abs(logits(linear, model)).max())
    free = {name for name, node in built.arrays.items() if not node.clamped and not node.is_inner}
    assert {f"{name}.feedback" for name in free} <= set(built.terms)
    assert built.notes["device_card"]["cells"] == ["tanh"]


def test_positions_share_matrices_where_their_volts_agree(model: Model) -> None:
    built = ds.map_model(model, 4, device_card=resistor())
    sets = {len(t.matrices) for t in built.terms.values() if isinstance(t, TransistorCoupling)}
    assert sets == {2}
    serial = ds.map_model(model, 4, device_card=resistor(), tokens="serial")
    assert {len(t.matrices) for t in serial.terms.values() if isinstance(t, TransistorCoupling)} == {1}


def test_bent_transistors_and_unequal_ones_err(model: Model) -> None:
    exact = logits(ds.map_model(model, 4), model)
    bends = logits(ds.map_model(model, 4, device_card=bent()), model)
    chip = ds.fabricate(ds.map_model(model, 4, device_card=square_pair()), threshold_area=3.5e-9, beta_area=1.5e-8)
    trimmed = ds.fabricate(
        ds.map_model(model, 4, device_card=square_pair()), threshold_area=3.5e-9, trim={"write-verify": 1e-4}
    )
    scale = np.abs(exact).max()
    assert np.abs(bends - exact).max() > 1e-3 * scale
    assert np.abs(logits(chip, model) - exact).max() > np.abs(logits(trimmed, model) - exact).max() > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_ends_at_its_operating_point(model: Model, stream: bool) -> None:
    """Weights that stay, and weights that pass by."""
    machine = ds.fabricate(ds.map_model(model, 4, device_card=square_pair()), seed=1, threshold_area=3.5e-9)
    plan = ds.prepare(machine, precision="float64", stream=stream)
    run = ds.transient(plan, {"embed": model.embed(model.encode(PROMPT))}, settle_bits=20, tolerance=1e-5)
    assert run.settled
    assert run.logical("logits") == pytest.approx(logits(machine, model), abs=1e-4)


def test_memory_counts_the_matrices_and_nothing_that_stays_on_the_host(model: Model) -> None:
    linear, built = (
        ds.fabricate(ds.map_model(model, 4, device_card=card), threshold_area=spread, weight_bits=8).circuit
        for card, spread in ((None, 0.0), (square_pair(), 3.5e-9))
    )
    before, found = (memory.placed(circuit, ds.prepare(circuit).backend) for circuit in (linear, built))
    terms = [t for t in built.terms.values() if isinstance(t, TransistorCoupling)]
    more = sum(4 * (t.matrices.size + t.volts.size) - 4 * t.weight.size for t in terms)
    assert found.weights - before.weights == pytest.approx(more, rel=1e-6)
    assert ds.memory_needed(built, tolerance=1e-3).temporaries > 0


def test_interrupted_runs_know_their_transistors(model: Model) -> None:
    from dsmachine.emulator.checkpoint import digest

    terms = [ds.map_model(model, 4, device_card=card).terms for card in (bent(), bent(), bent(0.06))]
    one, again, other = map(digest, terms)
    assert one == again != other


def test_cards_of_another_temperature_and_supply(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    warm = ds.load_technology(temperature=350.0)
    with caplog.at_level(logging.WARNING):
        ds.map_model(model, 4, technology=warm, device_card=resistor())
    assert "measured at a temperature of 300.1 K, the technology has 350 K" in caplog.text


@pytest.mark.parametrize("coupling", ["balanced", "passive"])
def test_only_buffered_couplings_are_built(model: Model, coupling: str) -> None:
    with pytest.raises(ds.Error, match=f"coupling '{coupling}' is not built of transistors: leave out"):
        ds.map_model(model, 4, coupling=coupling, device_card=resistor())


def test_nodes_beyond_the_card(model: Model) -> None:
    wide = ds.load_technology(overrides={"supply.swing": 0.7})
    with pytest.raises(ds.Error, match=r"characterize over a wider swing, or lower supply\.swing"):
        ds.map_model(model, 4, technology=wide, device_card=resistor())


def test_anneal(model: Model) -> None:
    found = ds.anneal(
        model, PROMPT, device_card=square_pair(), pelgrom=True, trim={"write-verify": 0.001}, timer_prompts=0
    )
    assert found.summary()["device_card"]["unit"] == "pair"
    assert found.summary()["chip"]["threshold_area"] == pytest.approx(3.5e-9)
    assert found.run.settled
    with pytest.raises(ds.Error, match="pelgrom is about transistors and there is no device card"):
        ds.anneal(model, PROMPT, pelgrom=True)


def test_a_flickering_run_is_another_each_time(model: Model) -> None:
    """Near the quiet one, by the noise seed, and said in the summary."""
    options: dict[str, Any] = {"device_card": square_pair(), "timer_prompts": 0}
    quiet = ds.anneal(model, PROMPT, **options).logits
    runs = [ds.anneal(model, PROMPT, flicker=True, noise_seed=seed, **options) for seed in (0, 1)]
    assert runs[0].summary()["flicker"] == {"area": pytest.approx(3.317e-11, rel=1e-3), "seed": 0}
    assert runs[1].run.statistics["flicker_seed"] == 1
    moved = [np.abs(run.logits - quiet).max() / np.ptp(quiet) for run in runs]
    assert 1e-5 < min(moved) <= max(moved) < 0.05
    assert (runs[0].logits != runs[1].logits).any()
    with pytest.raises(ds.Error, match="flicker is about transistors and there is no device card"):
        ds.anneal(model, PROMPT, flicker=True)


def test_generate(model: Model) -> None:
    one, other = (ds.generate(model, PROMPT, max_new_tokens=1, device_card=card) for card in (None, resistor()))
    assert one.text == other.text


def test_command(model: Model, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from dsmachine.commands import app

    path = tmp_path / "card.h5"
    ds.save_device(bent(), path)
    folder = str(write_small(tmp_path / "small"))
    done = CliRunner().invoke(app, ["info", folder, "--positions", "4", "--device-card", str(path)])
    assert done.exit_code == 0
    assert "coupling buffered of transistors, pair 120 nm × 1 µm" in done.stdout
