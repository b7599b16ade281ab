"""Design of a machine in transistors: what a device-level netlist is made of beside the circuit itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ... import checks
from ...devices.card import DeviceCard
from ...devices.models import ModelCard
from ...errors import Error, shown
from .support import Support

Array = Any
SUPPORTS = ("ideal", "A", "AB")
FEEDBACKS = ("transistors", "ideal")
DIFFUSION = 100e-9  # m, length of a source or drain: its junction is width x 100 nm (technology, [softmax])
MADE = "give what transistors_of returns"


@dataclass(frozen=True)
class Transistors:
    """What a device-level netlist is made of.

    models: cards of the two transistors, of which `card` was measured: the unit of couplings. pair: card of feedback
    devices and products (None: `card` itself, or the pair of a quad). conveyor, buffer: "ideal" (sources), "A" or "AB"
    (`mos/follower.py`). feedback: "transistors", or "ideal", conductances that do not bend. support: measured state of
    the conveyors, by which a node's capacitors and feedback devices are made smaller (None: left as they are).
    finger_capacitance [F]: of a finger of a feedback device between the sides, which the node's capacitor has less
    where `card` has not measured it at each gate.
    centre [V]: gates of a product at control 0, where couplings are no quads. threshold [V], mobility: shift and factor
    of the corner that the cards were measured in, on all transistors.

    Raises Error for supports that do not exist, and cards that do not go together.
    """

    models: ModelCard
    card: DeviceCard
    pair: DeviceCard | None = None
    conveyor: str = "ideal"
    buffer: str = "ideal"
    feedback: str = "transistors"
    support: Support | None = None
    finger_capacitance: float = 0.0
    centre: float = 0.8
    threshold: float = 0.0
    mobility: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("conveyor", SUPPORTS), ("buffer", SUPPORTS), ("feedback", FEEDBACKS)):
            if not checks.among(getattr(self, name), known):
                raise Error(f"{name} {shown(getattr(self, name))} is unknown: use {', '.join(known)}")
        pair = self.pair_card
        for name in ("vdd", "common_mode", "temperature"):
            if getattr(self.card, name) != getattr(pair, name):
                raise Error(
                    f"{name} of the pair's card is {getattr(pair, name):g}, of the {self.card.unit}'s "
                    f"{getattr(self.card, name):g}: characterize both alike"
                )
        if self.support is not None and self.support.kind != self.conveyor:
            raise Error(
                f"support was measured of class {self.support.kind!r}, the conveyor is {self.conveyor!r}: measure "
                "it of that class"
            )
        for card in (self.card, pair):
            if card.origin.sha256 != self.models.sha256:
                raise Error(
                    f"device card is of {card.origin.models}, models are {self.models.origin}: characterize them"
                )

    @property
    def pair_card(self) -> DeviceCard:
        """The pair of feedback devices and products."""
        found = self.pair or (self.card.pair if self.card.unit == "quad" else self.card)
        if found is None or found.unit != "pair":
            raise Error(
                f"couplings are of unit {self.card.unit!r}: give the card of a pair for feedback devices, pair=…"
            )
        return found

    @property
    def quad_bias(self) -> float:
        """Gates of a quad or product at control 0 [V]."""
        return self.card.bias if self.card.unit == "quad" else self.centre

    def transistor(self, name: str, ends: str, kind: str, width: float, length: float, fingers: str = "") -> str:
        """One transistor's line: ends "drain gate source"; kind "n" or "p"; sizes in µm; bulk at its supply."""
        model, bulk = (self.models.name("nfet"), "0") if kind == "n" else (self.models.name("pfet"), "vdd")
        area, rim = width * DIFFUSION * 1e-6, width * 1e-6 + 2 * DIFFUSION
        junctions = f"ad={area:.6g} as={area:.6g} pd={rim:.6g} ps={rim:.6g}"
        size = f"w={width * 1e-6:.6g} l={length * 1e-6:.6g}"
        corner = self.models.adjusted(f"{kind}fet", self.threshold, self.mobility)
        return f"M{name} {ends} {bulk} {model} {size} {junctions}{fingers}{corner}"

    def subcircuit(self, head: str, note: str, devices: Mapping[str, tuple[Any, ...]], *others: str) -> str:
        """A subcircuit of transistors: name -> (ends, kind, width, length[, fingers])."""
        lines = [self.transistor(name, *device) for name, device in devices.items()]
        return "\n".join([f".subckt {head}", f"* {note}", *lines, *others, ".ends"])


NO_DEVICES: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
