"""What a user finds at a prompt: every result says in a line what it is, and draws itself from its own numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from device_cards import resistor, square_quad, square_single
from matplotlib.figure import Figure
from runs import chain
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.energy.meter import EnergyMeter

LONGEST = 200  # characters of a line


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("results") / "small"))


COUNTED = {"step", "presentation", "token", "mismatch", "perplexity of the text"}  # axes without a unit


def drawn(figure: Figure) -> Figure:
    """The figure, after everything in it was laid out, with units on its axes: whatever cannot be drawn fails here."""
    figure.canvas.draw()
    shown = [figure.get_supylabel()] + [label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel())]
    assert all("(" in label or label in COUNTED for label in shown if label), shown
    for ax in figure.axes:
        assert (ax.get_xlabel() and ax.get_ylabel()) or ax.get_shared_x_axes().get_siblings(ax)
    return figure


def test_a_circuit_and_a_chip() -> None:
    circuit = chain()
    chip = ds.fabricate(circuit, seed=3, mismatch=0.02)
    assert repr(circuit) == "Circuit('chain', 16 nodes in 4 arrays, 3 terms)"
    assert repr(chip) == f"Chip({circuit!r}, seed 3, mismatch 0.02)"
    assert repr(ds.prepare(chip)) == f"Plan({circuit!r}, numpy, float32, 3 groups)"
    assert repr(ds.Probe({"a": 0, "b": 1})) == "Probe(a, b, 8 samples an element)"
    assert repr(ds.Probe([f"x{k}" for k in range(9)], times=[0.0, 1e-9])) == "Probe(x0, x1, x2, x3, …, 2 times)"
    meter = ds.EnergyMeter()
    assert repr(meter) == "EnergyMeter(cmos45 TT, nothing weighed)"
    ds.transient(circuit, {"u": np.zeros(4)}, duration=1e-9, observers=[meter])
    assert repr(meter) == "EnergyMeter(cmos45 TT, 'chain', 1 ns weighed)"
    assert repr(ds.adjoint(circuit, loss="given")).startswith("AdjointCircuit('")


def test_a_run_says_how_many_nodes_are_on_their_rail() -> None:
    follower = ds.Circuit("follower")
    follower.clamp("u", (2,))
    follower.nodes("v", (2,))
    follower.couple("w", "u", "v", 1.0)
    assert (
        repr(ds.operating_point(follower, {"u": [5.0, 0.1]}))
        == "Run('follower', op, 1 array, 0.0 ns, 1 node saturated)"
    )
    assert "saturated" not in repr(ds.transient(follower, {"u": [0.2, 0.1]}))


def test_an_anneal_and_its_account(small: str) -> None:
    found = ds.anneal(small, PROMPT, timer_prompts=0)
    said = repr(found)
    assert len(said) < LONGEST and "'small'" in said and f"→ {found.text!r}" in said and "settled at" in said
    account = repr(found.energy)
    assert len(account) < LONGEST and "J a token" in account and "\n" not in account
    left, right = drawn(found.energy.plot()).axes
    table = found.energy.to_json()["by_part"]
    assert sum(bar.get_width() for bar in left.patches) > 0
    assert len(left.patches) == len(right.patches) == len(table)


def test_an_anneal_that_did_not_settle_says_so(small: str) -> None:
    """No oscillator is at hand: the same record, its settling time struck out."""
    found = ds.anneal(small, PROMPT, timer_prompts=0)
    assert found.run.settling_time is not None
    found.run.settling_time[:] = np.nan
    assert "did not settle" in repr(found)


def test_an_account_of_a_batch_is_one_line() -> None:
    meter = EnergyMeter()
    ds.transient(chain(), {"u": np.ones((3, 4))}, observers=[meter])
    assert repr(meter.report(tokens=2)).startswith("EnergyReport('chain', ")


def test_a_training(small: str, tmp_path: Path) -> None:
    for name, text in (("learnt.txt", "abcabcabcabc" * 4), ("held_out.txt", "bcabcabca" * 3)):
        (tmp_path / name).write_text(text)
    found = ds.train(
        small, tmp_path / "learnt.txt", validation=tmp_path / "held_out.txt", positions=6, batch=2, steps=3,
        energy=False,
    )  # fmt: skip
    said = repr(found)
    assert len(said) < LONGEST and "3 steps" in said and "held-out loss" in said
    ax = drawn(found.plot()).axes[0]
    curve, ends = ax.lines
    assert list(curve.get_ydata()) == found.loss
    assert list(ends.get_ydata()) == found.validation["loss"]
    assert "nat" in ax.get_ylabel()
    both = ds.plots.plot_training({"one chip": found, "another": found})
    legend = drawn(both).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "one chip, learnt", "one chip, held out", "another, learnt", "another, held out"
    ]  # fmt: skip


@pytest.mark.parametrize("known", [resistor, square_single, square_quad])
def test_a_device_card(known: Callable[[], DeviceCard]) -> None:
    card = known()
    left, right = drawn(ds.plots.plot_device_card(card)).axes
    line = left.lines[0]
    assert np.asarray(line.get_ydata()) == pytest.approx(
        card.current(card.gates[card.gates <= card.reach][-1], np.asarray(line.get_xdata())) * 1e6
    )
    assert "µA" in left.get_ylabel() and "µS" in right.get_ylabel()


@pytest.mark.spice
@pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
def test_a_cross_check() -> None:
    found = ds.crosscheck(chain(), inputs={"u": [1.0, -1.0, 0.5, 0.2]}, engine="batch")
    top, bottom = drawn(found.plot()).axes
    spice, ours = (np.asarray(line.get_ydata()) for line in top.lines)
    assert ours - spice == pytest.approx(np.asarray(bottom.lines[-1].get_ydata()) * 1e-3, abs=1e-12)
    assert np.abs(ours - spice).max() * 1e-3 < 1e-4
    assert found.farthest.node in top.get_title(loc="left")
    assert len(repr(found)) < 3 * LONGEST
