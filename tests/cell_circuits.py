"""One small circuit for each kind of cell, with inputs that take it through its nonlinear range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from device_cards import bent, square_pair, square_single

from dsmachine.circuits.cells import Feedback, with_transistors
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.followers import with_followers
from dsmachine.circuits.technology import load_technology

Case = tuple[Circuit, dict[str, Any]]
CAUSAL = np.broadcast_to(np.tril(np.ones((4, 4), bool)), (2, 4, 4)).copy()


def dense(
    rows: int = 6, columns: int = 8, drive: float = 1.0, coupling: dict[str, Any] | None = None, **node: Any
) -> Case:
    """Couplings between all nodes of two arrays; `drive` times inputs of up to 0.3 V."""
    rng = np.random.default_rng(rows)
    circuit = Circuit("dense")
    circuit.clamp("u", (columns,))
    circuit.nodes("v", (rows,), **node)
    weight = rng.normal(size=(rows, columns)) / np.sqrt(columns)
    circuit.couple("w", "u", "v", weight, **(coupling or {}))
    return circuit, {"u": drive * rng.uniform(-0.3, 0.3, columns)}


def transistors(card: Any, drive: float = 1.0, **node: Any) -> Case:
    """A crossbar of transistors; the first of three positions is at other volts than the rest."""
    rng = np.random.default_rng(9)
    circuit = Circuit("transistors")
    apart = np.array([0.5, 1, 1])[:, None]
    circuit.clamp("u", (3, 8), unit=apart * rng.uniform(0.5, 1, 8))
    circuit.nodes("v", (3, 6), unit=0.7 * apart**2, **node)
    circuit.couple("w", "u", "v", rng.normal(size=(6, 8)) / 3)
    return with_transistors(circuit, card), {"u": drive * rng.uniform(-0.5, 0.5, (3, 8))}


def chip_of_transistors() -> Case:
    """Pairs of unequal devices: even parts too."""
    circuit, inputs = transistors(square_pair())
    return fabricate(circuit, threshold_area=10e-9, beta_area=5e-8).circuit, inputs


def one_to_one() -> Case:
    rng = np.random.default_rng(1)
    circuit = Circuit("one to one")
    circuit.clamp("u", (3, 8))
    circuit.nodes("v", (3, 8), unit=rng.uniform(0.05, 0.2, (3, 8)), offset=0.01 * rng.normal(size=(3, 8)))
    circuit.couple("w", "u", "v", rng.normal(size=8))
    circuit.bias("b", "v", 0.2 * rng.normal(size=8))
    return circuit, {"u": rng.uniform(-0.3, 0.3, (3, 8))}


def products() -> Case:
    rng = np.random.default_rng(2)
    circuit = Circuit("products")
    circuit.clamp("q", (4, 2, 3), unit=0.3)
    circuit.clamp("k", (4, 2, 3), unit=0.2)
    circuit.nodes("score", (2, 4, 4), unit=0.1, exists=CAUSAL)
    circuit.multiply("qk", "q", "k", "score", "ihd,jhd->hij", gain=0.5)
    circuit.nodes("squares", (2, 4), unit=0.1)
    circuit.multiply("sum", "score", "score", "squares", "hij,hij->hi")
    circuit.nodes("each", (2, 4, 4), unit=0.1, exists=CAUSAL)
    circuit.multiply("own gains", "score", "score", "each", "hij,hij->hij", gain=rng.normal(size=(2, 4, 4)))
    return circuit, {"q": rng.normal(size=(4, 2, 3)), "k": rng.normal(size=(4, 2, 3))}


def activations() -> Case:
    rng = np.random.default_rng(3)
    circuit = Circuit("activations")
    circuit.clamp("u", (8,))
    circuit.nodes("pre", (8,), unit=0.2)
    circuit.couple("w", "u", "pre", 3.0)
    circuit.nodes("tanh", (8,), unit=rng.uniform(0.1, 0.3, 8))
    circuit.tanh("t", "pre", "tanh", gain=1.2)
    circuit.nodes("relu", (8,), unit=0.25)
    circuit.rectify("r", "tanh", "relu", gain=0.8)
    return circuit, {"u": 0.3 * rng.normal(size=8)}


def softmax(nats: float = 4.0, clamp: float = 0.6 / 0.029, **cell: Any) -> Case:
    rng = np.random.default_rng(4)
    circuit = Circuit("softmax")
    circuit.clamp("u", (2, 4, 4))
    circuit.nodes("score", (2, 4, 4), unit=0.029, exists=CAUSAL, rail=0.029 * clamp, held=True)
    circuit.couple("w", "u", "score", 1.0)
    circuit.nodes("prob", (2, 4, 4), unit=0.3, exists=CAUSAL)
    circuit.softmax("softmax", "score", "prob", exists=CAUSAL, **cell)
    return circuit, {"u": nats * rng.normal(size=(2, 4, 4))}


def root_and_division() -> Case:
    rng = np.random.default_rng(5)
    circuit = Circuit("root and division")
    circuit.clamp("x", (4, 3))
    circuit.nodes("s", (4, 1), unit=0.3, feedback=Feedback("s", 2.0))
    circuit.couple("sum", "x", "s", np.abs(rng.normal(size=(1, 3))))
    circuit.nodes("y", (4, 3), unit=0.2, feedback=Feedback("s", 2.0))
    circuit.couple("m", "x", "y", 2.0)
    x = rng.uniform(0.1, 0.4, (4, 3))
    x[0] = -0.01  # a root that waits
    return circuit, {"x": x}


def passive_feedback() -> Case:
    """Passive couplings onto a root node and onto a node that another one divides."""
    rng = np.random.default_rng(6)
    circuit = Circuit("passive feedback")
    circuit.clamp("x", (4, 3))
    circuit.clamp("c", (4, 1), unit=0.3)
    circuit.nodes("y", (4, 3), unit=0.2, feedback=Feedback("c", 2.0), offset=0.003)
    circuit.couple("wy", "x", "y", np.eye(3), passive=True)
    circuit.nodes("r", (4, 3), unit=0.3, feedback=Feedback("r", 2.0), offset=0.003)
    circuit.couple("wr", "x", "r", np.abs(rng.normal(size=(3, 3))), passive=True)
    return circuit, {"x": rng.uniform(-0.1, 0.4, (4, 3)), "c": rng.uniform(0.2, 1, (4, 1))}


def mixed() -> Case:
    """Buffered and passive couplings into the same nodes, behind an input resistance; some hit their rail."""
    rng = np.random.default_rng(8)
    circuit = Circuit("mixed")
    circuit.clamp("u", (4,))
    circuit.nodes(
        "v", (6,), unit=rng.uniform(0.5, 1, 6), input_resistance=2e3, offset=0.002, ratio=np.linspace(0.5, 2, 6)
    )
    circuit.couple("buffered", "u", "v", np.linspace(0.1, 12, 6)[:, None] * rng.uniform(0.5, 1, (6, 4)))
    circuit.couple("passive", "u", "v", rng.normal(size=(6, 4)) / 2, passive=True)
    circuit.bias("b", "v", 0.1)
    return circuit, {"u": rng.uniform(0.1, 0.3, 4)}


def ring() -> Case:
    rng = np.random.default_rng(7)
    circuit = Circuit("ring")
    circuit.clamp("u", (5,))
    circuit.nodes("s", (5,))
    circuit.couple("h", "u", "s", 1.0)
    circuit.couple("J", "s", "s", 0.7 * np.roll(np.eye(5), 1, axis=0) - 0.2 * np.roll(np.eye(5), 2, axis=0))
    return circuit, {"u": 0.1 * rng.normal(size=5)}


def rc() -> Case:
    circuit = Circuit("rc")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,))
    circuit.couple("w", "u", "v", 1.0)
    return circuit, {"u": [0.3]}


def followers() -> Case:
    """Conveyors and buffers with gains of their own, around couplings of both shapes and products."""
    rng = np.random.default_rng(9)
    circuit = Circuit("followers")
    circuit.clamp("u", (2, 4))
    circuit.nodes("v", (2, 4))
    circuit.couple("w", "u", "v", rng.normal(size=(4, 4)) / 2)
    circuit.nodes("y", (2, 4))
    circuit.couple("each", "v", "y", rng.uniform(0.5, 1, (2, 4)), elementwise=True)
    circuit.nodes("mean", (2, 1))
    circuit.couple("sum", "v", "mean", np.full((1, 4), 0.25))
    circuit.nodes("square", (2, 1))
    circuit.multiply("squares", "v", "v", "square", "pd,pd->p", gain=2.0)
    circuit.couple("back", "mean", "y", np.full((4, 1), 0.3))
    circuit.nodes("bent", (2, 3))
    circuit.couple("crossbar", "v", "bent", rng.normal(size=(3, 4)) / 3, device_card=square_pair())
    values = {"conveyor.input_resistance": 300.0, "conveyor.current_gain": 0.95, "buffer.gain": 0.9}
    return with_followers(circuit, load_technology(overrides=values)), {"u": rng.uniform(-0.2, 0.2, (2, 4))}


CASES: dict[str, Callable[[], Case]] = {
    "rc": rc,
    "coupling": dense,
    "coupling with r_x": lambda: dense(input_resistance=300.0),
    "conveyors that lose current": lambda: dense(drive=5.0, current_gain=0.7),
    "followers": followers,
    "coupling, passive": lambda: dense(coupling={"passive": True}),
    "coupling, balanced": lambda: dense(input_resistance=300.0, coupling={"balanced": True}),
    "coupling of transistors": lambda: transistors(bent(), input_resistance=300.0),
    "coupling of single transistors": lambda: transistors(square_single()),
    "coupling of unequal transistors": chip_of_transistors,
    "coupling, one to one": one_to_one,
    "feedback of each node": lambda: dense(ratio=np.linspace(0.5, 2, 6)),
    "capacitance of each node": lambda: dense(capacitance=49e-15 * np.linspace(0.5, 2, 6)),
    "no rail": lambda: dense(drive=5.0, rail=None),
    "rail hit hard": lambda: dense(drive=15.0),
    "products": products,
    "tanh and rectifier": activations,
    "softmax": softmax,
    "softmax of far scores": lambda: softmax(nats=14.0),
    "softmax with leakage": lambda: softmax(floor=4.0, gain=1.1, shift=0.2 * CAUSAL),
    "softmax with tails": lambda: softmax(nats=14.0, junction_capacitance=0.2e-15),
    "softmax with slow tails": lambda: softmax(junction_capacitance=50e-15),
    "softmax with all": lambda: softmax(
        14.0, clamp=8.0, floor=6.0, gain=1.1, shift=0.2 * CAUSAL, junction_capacitance=2e-15
    ),
    "root and division": root_and_division,
    "passive feedback": passive_feedback,
    "buffered and passive": mixed,
    "cycle": ring,
    "64 x 64": lambda: dense(64, 64),
}
