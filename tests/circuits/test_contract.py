"""Contractions of arrays in any order against `einsum`, and which matrices cuBLAS reads where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from dsmachine.circuits.cells.contract import contract
from dsmachine.circuits.cublas import PLAIN, TRANSPOSED, matrix, stacked

SIZES = {"i": 5, "j": 6, "h": 3, "g": 3, "r": 2, "o": 1, "d": 4}


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("points", [(7, 7), (1, 7), (7, 1)], ids=str)
@pytest.mark.parametrize(
    "spec",
    [
        "ihd,jhd->hij", "hij,jhd->ihd", "igrd,jgd->grij", "grij,jgd->igrd", "igod,jgd->goij", "goij,jgd->igod",
        "ij,jd->id", "ij,ij->i", "ij,ij->ij",
    ],
)  # fmt: skip
def test_einsum(spec: str, points: tuple[int, int], scale: float) -> None:
    rng = np.random.default_rng(0)
    a, b = (
        rng.normal(size=(k, *(SIZES[i] for i in letters)))
        for k, letters in zip(points, spec.split("->")[0].split(","), strict=True)
    )
    left, right = spec.split(",")
    known = np.einsum(f"...{left},...{right.replace('->', '->...')}", a, b)
    assert contract(spec, a, b, scale) == pytest.approx(scale * known, rel=1e-12, abs=1e-12)


def test_matrices_of_heads() -> None:
    """Queries, keys and values side by side in a row of 3 x 4 heads of 8 numbers, at 6 positions and 5 points."""
    row = np.zeros((5, 6, 96), np.float32)
    q, k = (row[..., 32 * n : 32 * (n + 1)].reshape(5, 6, 4, 8).transpose(0, 2, 1, 3) for n in range(2))
    assert np.shares_memory(q, row)
    assert matrix(q) == (96, PLAIN)
    assert matrix(k.swapaxes(2, 3)) == (96, TRANSPOSED)
    assert matrix(k.swapaxes(2, 3), 1) is None
    scores = np.zeros((5, 4, 6, 6), np.float32)
    assert stacked((5, 4), q, k, scores) == [(5, 4 * 576, 4 * 576, 4 * 144), (4, 32, 32, 4 * 36)]


def test_stacks_that_are_counted_through() -> None:
    """One after another, or one for all, they are one axis; what is read backwards or apart is no matrix."""
    a = np.zeros((5, 4, 6, 8))
    assert stacked((5, 4), a, a, a) == [(20, 384, 384, 384)]
    assert stacked((5, 4), a[0, 0], a, a) == [(20, 0, 384, 384)]
    assert stacked((1, 1), a[:1, :1], a[:1, :1]) == []
    assert matrix(a[..., ::-1, :]) is None
    assert matrix(a[..., ::2]) is None
    assert matrix(np.broadcast_to(np.zeros(8), (6, 8))) is None
    assert matrix(a[:, :, :1]) == (8, PLAIN)
