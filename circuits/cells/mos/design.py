"""Design of a machine in transistors: what a device-level netlist is made of beside the circuit itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from ...errors import Error
from .support import Support

Array = Any
SUPPORTS = ("ideal", "A", "AB")
DIFFUSION = 100e-9  # m, length of a source or drain: its junction is width x 100 nm (technology, [softmax])


class Models(Protocol):
    """Model cards of the two transistors: their text, and the names of its n- and p-channel model."""

    @property
    def text(self) -> str: ...
    @property
    def nfet(self) -> str: ...
    @property
    def pfet(self) -> str: ...


class Unit(Protocol):
    """A coupling unit as characterised: one finger's conductance against its gate, width and length [m]."""

    @property
    def unit(self) -> str: ...
    @property
    def width(self) -> float: ...
    @property
    def length(self) -> float: ...
    @property
    def common_mode(self) -> float: ...
    @property
    def vdd(self) -> float: ...
    def control(self, conductance: Array) -> Array: ...
    def conductance(self, gate: Array) -> Array: ...


@dataclass(frozen=True)
class Transistors:
    """What a device-level netlist is made of.

    models: cards of the two transistors. pair: the unit of feedback devices and products. coupling: the unit of
    couplings, "single", "pair" or "quad" (None: as `pair`). conveyor, buffer: "ideal" (sources), "A" or "AB"
    (`mos/follower.py`). quad_bias [V]: gates of a quad at control 0. temperature [K]. support: measured state of
    conveyors and buffers, by which a node's capacitors and feedback devices are made smaller (None: left as they are).
    """

    models: Models
    pair: Unit
    coupling: Unit | None = None
    conveyor: str = "ideal"
    buffer: str = "ideal"
    quad_bias: float = 0.8
    temperature: float = 300.15
    support: Support | None = None

    def __post_init__(self) -> None:
        """Raises Error for supports that do not exist, and units that do not go together."""
        for name in ("conveyor", "buffer"):
            if getattr(self, name) not in SUPPORTS:
                raise Error(f"{name} {getattr(self, name)!r} is unknown: use {', '.join(SUPPORTS)}")
        if self.pair.unit != "pair":
            raise Error(f"card of feedback devices is of unit {self.pair.unit!r}: characterise 'pair'")
        unit = self.units
        if unit.unit not in ("single", "pair", "quad"):
            raise Error(f"card of couplings is of unit {unit.unit!r}: use single, pair or quad")
        for name in ("vdd", "common_mode"):
            if getattr(unit, name) != getattr(self.pair, name):
                raise Error(f"{name} of the two cards differs: characterise both at {getattr(self.pair, name):g} V")

    @property
    def units(self) -> Unit:
        """The unit of couplings."""
        return self.pair if self.coupling is None else self.coupling

    def transistor(self, name: str, ends: str, kind: str, width: float, length: float, fingers: str = "") -> str:
        """One transistor's line: ends "drain gate source"; kind "n" or "p"; sizes in µm; bulk at its supply."""
        model, bulk = (self.models.nfet, "0") if kind == "n" else (self.models.pfet, "vdd")
        area, rim = width * DIFFUSION * 1e-6, width * 1e-6 + 2 * DIFFUSION
        junctions = f"ad={area:.6g} as={area:.6g} pd={rim:.6g} ps={rim:.6g}"
        size = f"w={width * 1e-6:.6g} l={length * 1e-6:.6g}"
        return f"M{name} {ends} {bulk} {model} {size} {junctions}{fingers}"

    def subcircuit(self, head: str, note: str, devices: Mapping[str, tuple[Any, ...]], *others: str) -> str:
        """A subcircuit of transistors: name -> (ends, kind, width, length[, fingers])."""
        lines = [self.transistor(name, *device) for name, device in devices.items()]
        return "\n".join([f".subckt {head}", f"* {note}", *lines, *others, ".ends"])


NO_DEVICES: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
