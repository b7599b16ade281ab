"""Rounding neither keeps elements short nor a run from its end: in float32, and in products of 11-bit factors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_kernels import eleven_bits
from runs import chain, relaxed
from small_models import DEEP, write_small

import dsmachine as ds
from dsmachine.emulator import backend, run
from dsmachine.emulator.duration import latest_end, patience
from dsmachine.emulator.request import Request

Array = Any


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[ds.Circuit, dict[str, Array]]:
    """(four layers of random weights, inputs)."""
    folder: Path = tmp_path_factory.mktemp("rounding")
    model = ds.load_model(write_small(folder / "small", config=DEEP))
    return ds.map_model(model, 8), {"embed": model.embed(model.encode("abcdabcd"))}


def multiply_by(monkeypatch: pytest.MonkeyPatch, product: Callable[[Array, Array], Array]) -> None:
    """Cells multiply matrices so; everything else is float32."""

    def matmul(a: Array, b: Array, out: Array | None = None, scale: float = 1.0) -> Array:
        found = (scale * product(a, b)).astype(np.float32)
        if out is None:
            return found
        out[...] = found
        return out

    for cell in ("coupling", "contract"):
        monkeypatch.setattr(import_module(f"dsmachine.circuits.cells.{cell}"), "matmul", matmul)


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products round their factors, as the matrix units do."""
    multiply_by(monkeypatch, lambda a, b: single(eleven_bits(a)) @ single(eleven_bits(b)))
    monkeypatch.setitem(backend.ROUNDING, "float32", backend.ROUNDING["tf32"])


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are three of their factors' parts (`threefold.py`)."""

    def product(a: Array, b: Array) -> Array:
        (high, low), (by_high, by_low) = ((eleven_bits(x), eleven_bits(x - eleven_bits(x))) for x in (a, b))
        first, second = np.concatenate([low, high, high], axis=-1), np.concatenate([by_high, by_low, by_high], axis=-2)
        return single(first) @ single(second)

    multiply_by(monkeypatch, product)


def single(x: Array) -> Array:
    return x.astype(np.float32)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-6])
def test_elements_grow_though_estimates_see_rounding(tolerance: float, machine: Any) -> None:
    """In float32 as many as in float64 or fewer, where they were twice as many at 1e-6; the settling time is that
    of float64."""
    circuit, inputs = machine
    runs = [ds.transient(circuit, inputs, tolerance=tolerance, precision=p) for p in ("float32", "float64")]
    assert runs[0].statistics["elements"] <= runs[1].statistics["elements"]
    assert runs[0].settling_time == pytest.approx(runs[1].settling_time, rel=1e-3)


def test_elements_grow_in_tf32(machine: Any, tf32: None) -> None:
    circuit, inputs = machine
    finer = ds.transient(circuit, inputs, tolerance=1e-5)
    assert finer.statistics["elements"] < 80
    assert finer.settling_time == pytest.approx(91.2e-9, rel=0.01)


def test_a_machine_that_rests_elsewhere(machine: Any, tf32: None) -> None:
    """Factors of 11 bits leave it and its operating point, which is found by products of fewer rows, 2⁻⁹ apart. A run
    that is to settle to 10 bits ends when it has been at rest for as long as a node might wait, and not fifty times as
    late as one to 8 bits."""
    circuit, inputs = machine
    plan = ds.prepare(circuit)
    resolved = ds.transient(plan, inputs, tolerance=1e-3)
    assert resolved.settled
    assert "rests_within_bits" not in resolved.statistics
    run = ds.transient(plan, inputs, tolerance=1e-3, settle_bits=10)
    assert not run.settled
    assert 8 < run.statistics["rests_within_bits"] < 10
    assert patience(plan) < run.duration < patience(plan) + 5 * resolved.duration < 0.4 * latest_end(plan, Request())


def test_a_machine_of_parts_rests_where_it_should(machine: Any, request: pytest.FixtureRequest) -> None:
    """As near its operating point as in float32, and as soon, though matrix units multiply."""
    circuit, inputs = machine
    runs = [ds.transient(circuit, inputs, tolerance=1e-3, settle_bits=13)]
    request.getfixturevalue("parts")
    runs.append(ds.transient(circuit, inputs, tolerance=1e-3, settle_bits=13))
    assert runs[1].settled
    assert runs[1].settling_time == pytest.approx(runs[0].settling_time, rel=2e-3)
    assert runs[1].statistics["elements"] == runs[0].statistics["elements"]


@pytest.mark.parametrize("kernels", [False, True], ids=["arrays", "kernels"])
def test_how_near_a_machine_rests(kernels: bool, fused: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is told an operating point 1.5 % of full scale from where it comes to rest."""
    if kernels:
        fused()
    true_rest: Callable[..., dict[str, Array]] = run.solve_operating_point

    def elsewhere(*args: Any, **options: Any) -> dict[str, Array]:
        return {name: value + 0.05 * (name == "a.1") for name, value in true_rest(*args, **options).items()}

    monkeypatch.setattr(run, "solve_operating_point", elsewhere)
    found = relaxed(chain())
    assert not found.settled
    within = -np.log2(0.05 / found.circuit.full_scale("a.1").max())
    assert found.statistics["rests_within_bits"] == pytest.approx(within, abs=0.01)
