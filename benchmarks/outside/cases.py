"""Circuits that every solver gets, what is compared, and a converged reference.

Errors are the strict NRMSE (docs/design.md) on TIMES common times from zero to settling, over up to SAMPLED nodes of
each array. Time constants are those of a bare node, `second`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from common import Seconds, free_arrays, nrmse
from machines import gpt2_like, random_machine

import dsmachine as ds
from dsmachine.circuits.cells import Softmax
from dsmachine.circuits.cells.tail import TailDrive
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.plan import Plan

Array = Any
SAMPLED, TIMES = 4096, 121
LOST = 100.0  # full scales of a node; some pass a few on the way

OWN_SHAPES = {
    "block": gpt2_like(1, 8, 2),
    "small": gpt2_like(6, 64, 4),
}
TOKENS = {"block": 4, "small": 32, "bundled": 24, "gpt2": 128, "gpt2-medium": 128}
VOCABULARY = {"block": 16, "small": 64}


@dataclass(frozen=True)
class Sampled:
    """What a solver found, as `nrmse` wants it: logical values (times, 1, nodes) of the nodes in `index`."""

    circuit: Circuit
    index: Mapping[str, Any]
    values: Mapping[str, Array]

    def volts(self, name: str) -> Array:
        unit = self.circuit.units(name)[self.index[name]]
        found = np.asarray(self.values[name], float)
        return found.reshape(len(found), 1, -1) * unit


@dataclass(frozen=True)
class Case:
    """A circuit with constant inputs, that relaxes from zero until `end`, and its converged waveforms."""

    name: str
    circuit: Circuit
    inputs: dict[str, Array]
    device: str
    end: float
    reference: Probe

    @property
    def times(self) -> Array:
        """Common times [s], 0 and `end` among them."""
        return self.reference.sample_times

    @property
    def index(self) -> Mapping[str, Any]:
        return self.reference.index

    @cached_property
    def second(self) -> float:
        """C/g₀ of a bare node [s]."""
        node = ds.load_technology("cmos45").node
        return float(node.capacitance / node.conductance)

    @property
    def nodes(self) -> int:
        """Free nodes."""
        return sum(self.circuit.arrays[name].count for name in free_arrays(self.circuit))

    def clock(self, seconds: Seconds) -> float:
        """What counts: of a processor its own seconds, of a GPU those on the wall."""
        return seconds.cpu if self.device == "numpy" else seconds.wall

    def plan(self, precision: str = "float32", device: str | None = None) -> Plan:
        return ds.prepare(self.circuit, precision=precision, device=device or self.device)

    def lost(self, values: Mapping[str, Array]) -> bool:
        """Whether logical values of the compared nodes, by array, are beyond LOST full scales, or no numbers."""
        for name, nodes in self.index.items():
            reach = (self.circuit.full_scale(name) / self.circuit.units(name))[nodes]
            if not (np.abs(values[name]) <= LOST * reach).all():
                return True
        return False

    def error(self, found: Any) -> tuple[float, str]:
        """(NRMSE, worst array); infinite where a solver lost its way."""
        return nrmse(self.circuit, found, self.reference, self.end)

    def sampled(self, values: Mapping[str, Array]) -> Sampled:
        return Sampled(self.circuit, self.index, values)


def make_case(name: str, device: str, *, tokens: int | None = None, vocabulary: int | None = None) -> Case:
    """A case by name; "NAME, tails at rest" is NAME with softmax tails that follow at once."""
    base = name.partition(",")[0]
    circuit, inputs = _built(base, tokens or TOKENS.get(base, 8), vocabulary or VOCABULARY.get(base, 512))
    if base != name:
        circuit = without_tails(circuit)
    return referred(name, circuit, inputs, device)


def _built(name: str, tokens: int, vocabulary: int) -> tuple[Circuit, dict[str, Array]]:
    if name.startswith("tile-"):
        return tile(int(name.removeprefix("tile-")))
    if name == "bundled":
        model = ds.load_model("tiny-shakespeare")
        text = model.calibration_text[:tokens]
        return ds.map_model(model, tokens), {"embed": model.embed(model.encode(text))}
    shape = OWN_SHAPES.get(name) or SHAPES[name]
    circuit, embedded = random_machine(shape, tokens, vocabulary)
    return circuit, {"embed": embedded}


def referred(name: str, circuit: Circuit, inputs: dict[str, Array], device: str) -> Case:
    """The case with its converged waveforms: float64 at tolerance 1e-6; on a GPU float32 at 1e-5; 8 points each."""
    precision, tolerance = ("float64", 1e-6) if device == "numpy" else ("float32", 1e-5)
    plan = ds.prepare(circuit, precision=precision, device=device)
    first = ds.transient(plan, inputs, tolerance=1e-4)
    assert first.settling_time is not None
    end = float(first.settling_time.max())
    probe = Probe(some_nodes(circuit), times=np.linspace(0, end, TIMES))
    ds.transient(
        plan, inputs, tolerance=tolerance, points=8, duration=end * 1.01, settle_bits=0, observers=[probe]
    )  # fmt: skip
    return Case(name, circuit, inputs, device, end, probe)


def some_nodes(circuit: Circuit) -> dict[str, Any]:
    """Up to SAMPLED nodes of each free array, spread over it; of masked arrays those that exist."""
    picks = {}
    for name in free_arrays(circuit):
        node = circuit.arrays[name]
        here = np.flatnonzero(node.present.reshape(-1))
        picks[name] = np.unravel_index(here[:: max(1, -(-len(here) // SAMPLED))], node.shape)
    return picks


def tile(n: int) -> tuple[Circuit, dict[str, Array]]:
    """y = W x, z = tanh(y), q = z y with n nodes each, no rails, x constant; W random, so that y stays within ±2."""
    rng = np.random.default_rng(n)
    circuit, volts = Circuit(f"tile {n}x{n}"), 1 / 3
    circuit.clamp("x", (n,), unit=volts, full_scale=volts)
    for name in ("y", "z", "q"):
        circuit.nodes(name, (n,), unit=volts / 2, full_scale=volts, rail=None)
    circuit.couple("W", "x", "y", rng.normal(size=(n, n)) / np.sqrt(n))
    circuit.tanh("T", "y", "z")
    circuit.multiply("P", "z", "y", "q", "d,d->d")
    return circuit, {"x": rng.uniform(-1, 1, n)}


def without_tails(circuit: Circuit) -> Circuit:
    """The circuit whose softmax tails follow at once: no pole of theirs, τ/1300 in a row of one branch."""
    terms = {name: term for name, term in circuit.terms.items() if not isinstance(term, TailDrive)}
    for name, term in terms.items():
        if isinstance(term, Softmax):
            terms[name] = replace(term, tail=None, share=1.0)
    arrays = {name: node for name, node in circuit.arrays.items() if not node.is_inner}
    return replace(circuit, arrays=arrays, terms=terms)


Row = dict[str, Any]
NEVER = Seconds(float("inf"), float("inf"))


def left_out(case: Case, solver: str, precision: str, why: str) -> Row:
    """The row of a solver that does not get a case."""
    return row(case, solver, "", precision, NEVER, None, note=f"left out: {why}")


def row(case: Case, solver: str, setting: str, precision: str, seconds: Seconds, found: Any, **more: Any) -> Row:
    """A row of the table. found: what to compare with the reference, None for what did not come to its end."""
    error, array = case.error(found) if found is not None else (float("inf"), "")
    return {
        "case": case.name,
        "solver": solver,
        "setting": setting,
        "precision": precision,
        "wall_s": seconds.wall,
        "cpu_s": seconds.cpu,
        "nrmse": error,
        "worst": array,
        **more,
    }


def first_within(rows: Iterable[Row], error: float, keep: Callable[[Row], None]) -> None:
    """Take rows, loose to tight, until one is within the error."""
    for found in rows:
        keep(found)
        if found["nrmse"] <= error:
            return
