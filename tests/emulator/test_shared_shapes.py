"""What couplings of transistors have in common is worked out once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device_cards import bent

from dsmachine.circuits.cells import crossbar
from dsmachine.circuits.cells.polynomials import shaped
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.run import transient

Array = Any


def test_couplings_that_read_the_same_nodes_share_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three arrays of one layer: shapes of each window are made once, and the nodes go where they go alone."""
    made: list[int] = []

    def counted(*args: Any) -> Array:
        made.append(1)
        return shaped(*args)

    monkeypatch.setattr(crossbar, "shaped", counted)
    rng = np.random.default_rng(3)
    weights = {name: rng.normal(size=(5, 8)) / 4 for name in "qkv"}
    u = rng.uniform(-0.4, 0.4, (1, 8))

    def run(names: str) -> tuple[dict[str, Array], int]:
        circuit = Circuit("readers")
        circuit.clamp("u", (1, 8))
        for name in names:
            circuit.nodes(name, (1, 5), layer="one")
            circuit.couple(f"w{name}", "u", name, weights[name], device_card=bent())
        made.clear()
        end = transient(circuit, {"u": u}, elements=np.linspace(0, 5e-9, 5)[1:], settle_bits=0, precision="float64")
        return {name: end.logical(name) for name in names}, len(made)

    alone, (together, times) = {name: run(name) for name in "qkv"}, run("qkv")
    assert times == alone["q"][1]
    for name, values in together.items():
        assert np.array_equal(values, alone[name][0][name])
