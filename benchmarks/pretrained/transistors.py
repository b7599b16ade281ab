"""Weights made of transistors: swing, size of the device, mismatch and write-verify, corner and temperature.

Only the programmed matrices are transistors; what the mapping makes is linear. Scores keep their reach at every swing,
as in `noise.py`. Feedback is by units of the same kind, at the control that conducts g, so away from home, TT and
27 °C, a unit counts as what it conducts over what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import dsmachine as ds
from dsmachine.circuits.cells import Coupling, Signals, TransistorCoupling, of_transistors
from dsmachine.circuits.cells.mismatch import Draw, Spread
from dsmachine.circuits.cells.mos.rails import KELVIN
from dsmachine.circuits.cells.transistor_units import fingers_for
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.emulator.backend import Backend

from .bench import Bench, Rows
from .noise import of_swing

SWINGS = (0.5, 0.3, 0.2, 0.15, 0.1)
SIZES = {"120n/1µ": (120e-9, 1e-6), "240n/2µ": (240e-9, 2e-6), "500n/1µ": (500e-9, 1e-6), "1µ/2µ": (1e-6, 2e-6)}
A_VT, A_BETA = 3.5e-9, 1.5e-8  # V·m, m: the technology's
RESIDUALS = (None, 0.01, 0.003, 0.001)  # to which write-verify trims conductances; None: no trim
HOME = ("TT", 27)
PLACES = (("SS", 27), ("FF", 27), ("TT", -40), ("TT", 85), ("TT", 125))
BASE = 0.2  # V, where units are studied closer
UNITS = ("pair", "quad")


@dataclass(frozen=True)
class Device:
    """A unit of transistors of a size, at a swing [V], where it is measured: corner, °C."""

    unit: str = "pair"
    swing: float = BASE
    size: str = "120n/1µ"
    place: tuple[str, int] = HOME

    @property
    def key(self) -> dict[str, Any]:
        return {"unit": self.unit, "swing_v": self.swing, "device": self.size}

    @cached_property
    def card(self) -> DeviceCard:
        (width, length), (corner, celsius) = SIZES[self.size], self.place
        options: dict[str, Any] = {"corner": corner, "temperature": celsius + KELVIN}
        return ds.characterize(
            self.unit,
            width=width,
            length=length,
            overrides={"supply.swing": self.swing},
            **options,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Passing(Coupling):
    """A coupling whose transistors are there while it is driven: r matrices for every set of units, of all layers at
    once, are more than a small computer has. For one operating point, whose drive it keeps.
    """

    make: Callable[[], TransistorCoupling] = field(kw_only=True)
    driven: list[Any] = field(default_factory=list)
    fingers: list[int] = field(default_factory=list)

    def drive(self, x: Signals) -> Any:
        if not self.driven:
            term: Any = Backend("numpy", "float32").place(self.make())
            self.driven.append(term.drive(x))
            self.fingers.append(term.fingers)
        return self.driven[0]


Make = Callable[[Coupling, Circuit], TransistorCoupling]


@dataclass(frozen=True)
class Extent:
    """How much is asked of a model: swings [V]; of units at a swing, places, sizes and residuals."""

    swings: tuple[float, ...]
    places: tuple[tuple[str, int], ...]
    sizes: tuple[str, ...]
    residuals: tuple[float | None, ...]
    devices: tuple[tuple[str, float], ...] = (("pair", BASE), ("quad", BASE))


SMALL = Extent(SWINGS, PLACES, tuple(SIZES), RESIDUALS)
LARGE = Extent(
    (0.2, 0.1, 0.3, 0.15, 0.5), PLACES, ("120n/1µ", "1µ/2µ"), (0.003, None),
    devices=(("quad", BASE), ("pair", 0.1)),
)  # fmt: skip


def run(bench: Bench) -> None:
    """Of the bundled model first, whose rows take seconds; of a large one less."""
    for each, extent in ((Bench(128, "short", bench.headroom, name="tiny-shakespeare"), SMALL), (bench, LARGE)):
        study = Study(each, Rows("transistors", fresh=bench.fresh and each is not bench))
        study.resistors(BASE)
        for swing in extent.swings:
            for unit in UNITS:
                study.ideal(Device(unit, swing))
        for unit, swing in extent.devices:
            for residual in extent.residuals:
                study.chip(Device(unit, swing), residual)
            for place in extent.places:
                study.away(Device(unit, swing, place=place))
            for size in extent.sizes[1:]:
                study.ideal(Device(unit, swing, size))
                study.chip(Device(unit, swing, size), None)


class Study:
    """Machines of one model whose weights are transistors; one mapped circuit is kept, the latest."""

    def __init__(self, bench: Bench, rows: Rows) -> None:
        self.bench, self.rows = bench, rows
        self.linear = lru_cache(maxsize=1)(self._linear)

    def _linear(self, swing: float, gain: float = 1.0) -> Circuit:
        found: Circuit = self.bench.circuit(of_swing(swing), precision="float32", softmax_gain=gain)
        return found

    def resistors(self, swing: float) -> None:
        """What the others are compared with: linear couplings."""
        key = {"model": self.bench.model.name, "unit": "linear", "swing_v": swing, "device": "–", "machine": "ideal"}
        self.rows.row(key, lambda: self.bench.score(self.linear(swing)))

    def ideal(self, device: Device) -> None:
        """All transistors alike, at home."""
        self._row(device, "ideal", alike(device))

    def chip(self, device: Device, residual: float | None) -> None:
        """Transistors that differ by Pelgrom's law, chip 0; write-verify leaves `residual` of conductance."""
        name = "Pelgrom" if residual is None else f"Pelgrom, written to {100 * residual:g} %"
        self._row(device, name, differing(device, residual))

    def away(self, device: Device) -> None:
        """Elsewhere than at home: with gates written there, and as they were written at home; the softmax tracks
        temperature, or has the gain T_home/T."""
        corner, celsius = device.place
        name, home = f"{corner}, {celsius} °C", replace(device, place=HOME)
        gain = (HOME[1] + KELVIN) / (celsius + KELVIN)
        self._row(device, f"{name}, written there", lambda term, circuit: _anew(term, circuit, device, home))
        self._row(device, f"{name}, as written at home", lambda term, circuit: _kept(term, circuit, device, home))
        if gain != 1:
            last = f"{name}, as written at home, softmax gain {gain:.3g}"
            self._row(device, last, lambda term, circuit: _kept(term, circuit, device, home), gain)

    def _row(self, device: Device, machine: str, make: Make, gain: float = 1.0) -> None:
        key = {"model": self.bench.model.name} | device.key | {"machine": machine}
        self.rows.row(key, lambda: self._scored(device, make, gain))

    def read(self, device: Device, make: Make) -> Any:
        """Logits (P, V) at home."""
        return self.bench.read(self._machine(device, make)[0])[0]

    def _machine(self, device: Device, make: Make, gain: float = 1.0) -> tuple[Circuit, list[Passing]]:
        circuit = self.linear(device.swing, gain)
        passing = [Passing(**vars(term), make=lambda term=term: make(term, circuit)) for term in matrices(circuit)]
        return circuit.with_terms(passing), passing

    def _scored(self, device: Device, make: Make, gain: float) -> dict[str, Any]:
        machine, passing = self._machine(device, make, gain)
        found = self.bench.score(machine)
        return {"rank": device.card.rank, "most fingers": max(max(term.fingers) for term in passing)} | found


def alike(device: Device) -> Make:
    """Transistors that do not differ."""
    return lambda term, circuit: of_transistors(term, circuit, device.card)


def differing(device: Device, residual: float | None) -> Make:
    """Those of chip 0, by Pelgrom's law; write-verify leaves `residual` of conductance."""
    spread = Spread(threshold_area=A_VT, beta_area=A_BETA, write_verify=residual)
    return lambda term, circuit: of_transistors(term, circuit, device.card).fabricate(circuit, spread, Draw(0))


def matrices(circuit: Circuit) -> Iterator[Coupling]:
    """Couplings that are programmed."""
    for term in circuit.terms.values():
        if isinstance(term, Coupling) and term.programmable and not term.elementwise:
            yield term


def _relative(circuit: Circuit, term: Coupling, device: Device, home: Device) -> DeviceCard:
    """A card away from home in units of what a feedback device has become there."""
    g = circuit.arrays[term.target].conductance
    g /= fingers_for(home.card, g)
    share = float(device.card.conductance(home.card.control(g))) / g
    return replace(device.card, table=device.card.table / share)


def _anew(term: Coupling, circuit: Circuit, device: Device, home: Device) -> TransistorCoupling:
    return of_transistors(term, circuit, _relative(circuit, term, device, home))


def _kept(term: Coupling, circuit: Circuit, device: Device, home: Device) -> TransistorCoupling:
    """The control voltages of home."""
    there = of_transistors(term, circuit, home.card)
    moved = replace(there, card=_relative(circuit, term, device, home), written=there.control(circuit))
    return moved.programmed(circuit)
