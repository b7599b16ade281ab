"""Kernels that sum over rows, and that read polynomials, compiled for the processor, against the cells' own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsmachine.circuits.cells import View
from dsmachine.circuits.cells.coupling import coupling
from dsmachine.circuits.cells.product import product
from dsmachine.circuits.cells.softmax import Softmax
from dsmachine.circuits.cells.tail import TailDrive, TailNode
from dsmachine.circuits.cells.term import Term
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.collocation import Collocation, Piece
from dsmachine.emulator.fused_rows import FusedRows
from dsmachine.emulator.radau import propagator, radau

Array = Any
RNG = np.random.default_rng(0)
SHAPE = (3, 5, 7)


def tail_drive(floor: float | None, **more: Any) -> Term:
    exists = np.tril(np.ones(SHAPE[1:], bool))[None].repeat(3, axis=0)
    share = 1 / exists.sum(axis=-1, keepdims=True)
    pair = Softmax("softmax", "t", View("a"), exists=exists, floor=floor, share=share, **more)
    return TailDrive("drive", "t", pair)


def spoiled_squares() -> Term:
    """Of a chip whose devices differ, with a gain a position."""
    cell = product("squares", "a", "a", "t", "hpd,hpd->hp", (3, 5, 1), RNG.normal(size=(3, 5, 1)))
    errors = {"signs": np.sign(RNG.normal(size=SHAPE)), "errors": 0.1 * RNG.normal(size=SHAPE)}
    return type(cell)(**(vars(cell) | errors))


CELLS = {
    "tail": (tail_drive(None), (3, 5, 1)),
    "tail that leaks": (tail_drive(2.0, gain=1.2, shift=0.3 * RNG.normal(size=SHAPE)), (3, 5, 1)),
    "mean": (coupling("mean", "a", "t", RNG.normal(size=(1, 7))), (3, 5, 1)),
    "mean over heads": (coupling("mean", View("a", axes=(1, 0, 2)), "t", RNG.normal(size=(1, 21))), (5, 1)),
    "squares": (product("squares", "a", "a", "t", "hpd,hpd->hp", (3, 5, 1), 0.5), (3, 5, 1)),
    "squares of a chip": (spoiled_squares(), (3, 5, 1)),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_rows(cell: str, precision: str, fused: Any) -> None:
    fused()
    term, shape = CELLS[cell]
    circuit, backend = Circuit("rows"), Backend("numpy", precision)
    circuit.nodes("a", SHAPE)
    x = {"a": backend.array(4 * RNG.normal(size=(6, *SHAPE)))}
    assert term.rows is not None
    found = FusedRows(term.rows, circuit, shape, backend).drive(x)
    assert found.dtype == backend.dtype
    within = 1e-12 if precision == "float64" else 1e-5
    assert found == pytest.approx(np.broadcast_to(term.drive(x), (6, *shape)), rel=within, abs=within)


@pytest.mark.parametrize("kernels", [False, True], ids=["arrays", "kernels"])
def test_polynomials_along_pieces(kernels: bool, fused: Any) -> None:
    """A cubic in elements of unequal length, read anywhere, is that cubic."""
    if kernels:
        fused()
    at = Collocation(Backend("numpy", "float64"), 4)

    def cubic(times: Array) -> Array:
        return (1 - times + 0.5 * times**3)[:, None, None] * np.array([[1.0, -2.0, 3.0]])

    pieces = []
    for begin, length, count in ((0.0, 0.5, 1), (0.5, 0.25, 2), (1.0, 1.0, 1)):
        places = np.concatenate([begin + length * (k + radau(4)[0]) for k in range(count)])
        pieces.append(Piece(begin, length, count, cubic(np.array([begin]))[0], cubic(places)))
    for times in (np.linspace(0.01, 1.9, 23), np.array([0.6, 0.9]), np.array([0.5, 1.0, 2.0])):
        assert at.along(pieces, times) == pytest.approx(cubic(times), abs=1e-11)


@pytest.mark.parametrize("height", [1e-6, 1e-4, 1e-2])
def test_tails_near_zero_are_found_at_once(height: float) -> None:
    """Newton's method in float32: d − T is known to rounding of a nat, so more turns would find no more."""
    node, turns = TailNode("tail", (9, 1)), []
    drive = np.full((1, 6, 1, 9, 1), height, np.float32) * np.linspace(0.1, 1, 9, dtype=np.float32)[:, None]

    def law(x: Array, d: Array) -> tuple[Array, Array]:
        turns.append(1)
        return node.pull(x, d, 0.0, 0.0)

    at, start = Collocation(Backend("numpy", "float32"), 6), np.zeros((1, 9, 1), np.float32)
    found = at.own(40.0, 1.0, law, node.guess, node.grain, start, drive)
    assert len(turns) <= 3
    left = propagator(6, 40.0)[0][:, None, None, None]  # of a linear lag, which a small tail is
    assert found[0] == pytest.approx(drive[0] * (1 - left), abs=height**2 + 1e-6)
