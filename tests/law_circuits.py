"""One small circuit for each cell of transistors, and cards of all of their laws, measured once a test run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from device_units import card, transistors

from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.netlists.cells import measure_cell

NODE: dict[str, Any] = {"rail": 0.3, "full_scale": 0.2}
LINE, HALF = np.linspace(-0.2, 0.2, 6), np.linspace(-0.08, 0.08, 6)


CARDS = ("tanh", "rectifier", "softmax", "transit", "feedback")


@cache
def cards() -> DeviceCard:
    return replace(card(), cells={name: measure_cell(name, transistors()) for name in CARDS})


def one(name: str, **arrays: np.ndarray) -> tuple[Circuit, dict[str, Any]]:
    """Inputs, and v of the first one's shape."""
    circuit = Circuit(name, temperature=300.15)
    for array, value in arrays.items():
        circuit.clamp(array, value.shape, unit=0.1 if name == "tanh" else 1.0, **NODE)
    circuit.nodes("v", next(iter(arrays.values())).shape, unit=0.1 if name == "tanh" else 1.0, **NODE)
    return circuit, arrays


def lines() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("lines", u=LINE)
    circuit.couple("w", "u", "v", -0.9)
    return circuit, inputs


def products() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("products", a=LINE, b=LINE[::-1] / 2)
    circuit.multiply("k", "a", "b", "v", "i,i->i", gain=4.0)
    return circuit, inputs


def tanhs() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("tanh", u=10 * LINE)
    circuit.tanh("t", "u", "v")
    return circuit, inputs


def rectifiers() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("rectifiers", u=0.75 * LINE)
    circuit.rectify("r", "u", "v")
    return circuit, inputs


def driven() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("driven", u=np.broadcast_to(HALF, (3, 6)), r=np.array([[0.1], [0.15], [0.2]]))
    circuit.arrays["v"] = replace(circuit.arrays["v"], feedback=Feedback("r", 10.0, 0.02))
    circuit.couple("w", "u", "v", 1.0)
    return circuit, inputs


def roots() -> tuple[Circuit, dict[str, Any]]:
    circuit, inputs = one("roots", u=np.array([0.05, 0.1, 0.2, 0.3]))
    circuit.arrays["v"] = replace(circuit.arrays["v"], feedback=Feedback("v", 10.0, 0.02))
    circuit.couple("w", "u", "v", 1.0)
    return circuit, inputs


def row() -> tuple[Circuit, dict[str, Any]]:
    """Two in a row: the second sees the common mode that the feedback of the first shifts."""
    circuit, inputs = lines()
    circuit.nodes("v2", (6,), **NODE)
    circuit.couple("w2", "v", "v2", 0.9)
    return circuit, inputs


def softmax() -> tuple[Circuit, dict[str, Any]]:
    """Two rows, in volts that take 3.9 µA of their 5."""
    circuit = Circuit("softmax", temperature=300.15)
    circuit.clamp("score", (2, 5), unit=1.12 * circuit.thermal_voltage, **NODE)
    circuit.nodes("v", (2, 5), unit=0.12, **NODE)
    circuit.softmax("softmax", "score", "v", junction_capacitance=0.2e-15)
    return circuit, {"score": np.array([[0.5, -1.0, 2.0, 1.5, 0.0], [-2.0, 2.5, 1.0, 0.3, -0.6]])}
