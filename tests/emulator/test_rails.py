"""RailWatch: what the polynomials say the conveyors delivered is what the cells were asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.emulator.observers import Element
from dsmachine.emulator.rails import RailWatch

Array = Any


class Asked(RailWatch):
    """The same, by evaluating every cell again."""

    def _mask(self, stage: Any, element: Element) -> Array:
        x = element.flat
        root = stage.node.is_root
        gamma = stage.node.feedback.ratio(x[stage.name]) + stage.standing if root else stage.gamma(x)
        return np.broadcast_to(stage.beyond(x, gamma), (len(x[stage.name]), *stage.node.shape)).any(axis=0)


@pytest.mark.parametrize("options", [{}, {"input_resistance": 18.0}, {"softmax_clamp": 3.0}])
def test_it_counts_what_evaluating_the_cells_counts(options: dict[str, Any]) -> None:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode("But soft")
    circuit = ds.map_model(model, len(ids), **options)
    cheap, asked = RailWatch(), Asked()
    ds.transient(circuit, {"embed": model.embed(ids)}, tolerance=1e-3, observers=[cheap, asked])
    assert sum(asked.nodes.values()) > 500
    assert cheap.nodes.keys() == asked.nodes.keys()
    for name, count in asked.nodes.items():
        assert cheap.nodes[name] == pytest.approx(count, rel=0.01, abs=1), name


def test_plain_resistors_push_no_node_beyond() -> None:
    """y = 0.9 u / (0.1 + 0.9) by passive couplings: nothing is conveyed, so nothing is asked of the conveyor."""
    circuit = ds.Circuit("passive")
    circuit.clamp("u", (2,))
    circuit.nodes("y", (2,), ratio=0.1)
    circuit.nodes("z", (2,))
    circuit.couple("w", "u", "y", 0.9, passive=True)
    circuit.couple("p", "u", "z", 0.9, passive=True)
    circuit.couple("c", "u", "z", 1.0)
    watch = RailWatch()
    ds.transient(circuit, {"u": np.array([0.46, 0.44])}, settle_bits=8, observers=[watch])
    assert watch.nodes == {"z": 1}
