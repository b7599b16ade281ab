"""A Chip: one fabricated instance of a Circuit, everything static drawn once and frozen.

Trim comes after fabrication: `none`; `write-verify` brings every coupling and gain within a residual σ of its
target; `auto-zero` does the same for offsets. A trim replaces the spread it acts on by its residual; write-verify of
transistors moves their gates instead, so that their conductance is within σ and the rest of their law is as drawn, and
auto-zero of their tanh pairs moves their inputs, so that as much leaves by either branch at 0. Gains of mirrors stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from . import checks
from .cells.converter import converter
from .cells.mismatch import OF_TRANSISTORS, Draw, Spread, check_spread
from .circuit import Circuit
from .errors import Error, shown

if TYPE_CHECKING:
    from .devices.card import DeviceCard
    from .technology import Technology

FLICKER = "it is A_F in volts times metres, 0 … 1e-6 (3e-11 means 30 µV·µm)"
TRIMS = {"write-verify": ("mismatch", "vt_mismatch"), "auto-zero": ("offset",)}


@dataclass(frozen=True, repr=False)
class Chip:
    """`circuit` with this chip's devices in it; `seed` and what it was made with; weight_bits of its DACs, or None;
    flicker [V·m]: A_F of the run that it is in, as noise_seed drew it."""

    circuit: Circuit
    seed: int
    spread: Spread
    trim: dict[str, float]
    weight_bits: int | None = None
    flicker: float = 0.0
    noise_seed: int = 0

    def __repr__(self) -> str:
        apart = "".join(f", {name} {value:g}" for name, value in vars(self.spread).items() if value)
        return f"{type(self).__name__}({self.circuit!r}, seed {self.seed}{apart})"


def fabricate(
    circuit: Circuit,
    *,
    seed: int = 0,
    mismatch: float = 0.0,
    vt_mismatch: float = 0.0,
    offset: float = 0.0,
    branch_offset: float = 0.0,
    threshold_area: float = 0.0,
    beta_area: float = 0.0,
    threshold_gradient: float = 0.0,
    beta_gradient: float = 0.0,
    gradient_angle: float = 0.0,
    trim: Mapping[str, float] | None = None,
    weight_bits: int | None = None,
) -> Chip:
    """One chip. mismatch: relative σ of conductances; vt_mismatch: additive σ, share of the row's largest |G|;
    offset: σ of nodes and tanh pairs, share of full scale; branch_offset: σ [V] of the softmax's branches;
    threshold_area A_Vt [V·m], beta_area A_β [m]: Pelgrom's coefficients (`technology.mismatch` has a process's), of
    cells made of transistors; σ = A/√(W L) of each device. threshold_gradient [V], beta_gradient: what threshold and
    current of an array's transistors rise by from one coupling to the next, in the direction gradient_angle [rad]
    (0 along a row).
    trim: {"write-verify": σ, "auto-zero": σ} residuals. weight_bits: of the DACs that write weights and biases, over
    each row's largest |G|; 2 … 24, None: exact. Devices err on top of what is written.

    Raises Error for spreads of 1 or more, unknown trims, and spreads of transistors where no cell is made of any.
    """
    if not isinstance(circuit, Circuit):
        raise Error(f"fabricate takes a Circuit, not {shown(circuit)}: pass what map_model or ds.Circuit made")
    seed = checks.seed("chip seed", seed)
    spread = Spread(
        mismatch, vt_mismatch, offset, branch_offset, threshold_area, beta_area, threshold_gradient, beta_gradient,
        gradient_angle,
    )  # fmt: skip
    for name, sigma in _residuals(trim).items():
        spread = replace(spread, **{k: min(getattr(spread, k), sigma) for k in TRIMS[name]})
        if spread.of_transistors:
            spread = replace(spread, **{name.replace("-", "_"): sigma})
    _check_transistors(circuit, spread)
    draw = Draw(seed)
    dac = converter("weight_bits", weight_bits)
    written = [term if dac is None else term.quantized(circuit, dac) for term in circuit.terms.values()]
    terms = [draw.once(term, lambda cell: cell.fabricate(circuit, spread, draw)) for term in written]
    nodes = [node.fabricate(spread, draw) for node in circuit.arrays.values()]
    return Chip(circuit.with_terms(terms, nodes), seed, spread, dict(trim or {}), weight_bits)


def flickered(machine: Circuit | Chip, flicker: float, *, conveyor_area: float = 0.0, noise_seed: int = 0) -> Chip:
    """The machine as it is in one run: 1/f noise is slower, a voltage at each gate that stands still for as long.

    flicker: A_F [V·m], σ = A_F/√(W L) of a transistor (`technology.flicker.area` has a process's), of couplings of
    transistors, softmax branches and tanh pairs; conveyor_area [m²]: the gate whose voltage a node's conveyors are off
    by (0: ideal ones). noise_seed: which run. Trim was before, and does not take it off.

    Raises Error for an A_F or area outside its range, and for a machine that flickers already.
    """
    checks.number("flicker", flicker, FLICKER, least=0)
    if flicker >= 1e-6:
        raise Error(f"flicker is {flicker!r}: {FLICKER}")
    checks.number("conveyor_area", conveyor_area, "it is a gate area in m², 0: ideal conveyors", least=0)
    seed, circuit = checks.seed("noise_seed", noise_seed), circuit_of(machine)
    chip = machine if isinstance(machine, Chip) else Chip(circuit, 0, Spread(), {})
    if chip.flicker:
        raise Error("the machine flickers already: take the chip that it was made of")
    if not flicker:
        return chip
    draw = Draw(seed)
    terms = [draw.once(term, lambda cell: cell.flickering(circuit, flicker, draw)) for term in circuit.terms.values()]
    volts = flicker / conveyor_area**0.5 if conveyor_area else 0.0
    nodes = [node.flickering(volts, draw) for node in circuit.arrays.values()] if volts else []
    return replace(chip, circuit=circuit.with_terms(terms, nodes), flicker=flicker, noise_seed=seed)


def pelgrom_areas(technology: Technology, wanted: bool, device_card: DeviceCard | None) -> dict[str, float]:
    """What a process says of `fabricate`'s transistors, nothing if not wanted. Raises Error where there are none."""
    if not wanted:
        return {}
    if device_card is None:
        raise Error("pelgrom is about transistors and there is no device card: give one, or use mismatch")
    own = technology.mismatch
    return {part.name: getattr(own, part.name) for part in fields(own)}


def flicker_areas(technology: Technology, wanted: bool, device_card: DeviceCard | None) -> dict[str, float]:
    """What `flickered` takes of a process, all 0 if not wanted. Raises Error where there is no transistor."""
    if not wanted:
        return {"flicker": 0.0}
    if device_card is None:
        raise Error("flicker is about transistors and there is no device card: give one, or use offset and vt_mismatch")
    return {"flicker": technology.flicker.area, "conveyor_area": technology.flicker.conveyor_area}


def chip_words(seed: int, spreads: Mapping[str, float | None], trim: Mapping[str, float] | None = None) -> str:
    """What tables call a chip, or "ideal chip" where none of its spreads is above 0.

    >>> chip_words(1, {"mismatch": 0.05, "offset": 0.0}, {"write-verify": 0.01})
    'chip 1 with mismatch 0.05, write-verify to 0.01'
    """
    said = [f"{name} {value:g}" for name, value in spreads.items() if value]
    trimmed = [f"{name} to {value:g}" for name, value in (trim or {}).items()]
    return f"chip {seed} with {', '.join(said + trimmed)}" if said else "ideal chip"


def circuit_of(machine: Circuit | Chip) -> Circuit:
    """The circuit as this chip has it, or the ideal one. Raises Error for anything else."""
    if isinstance(machine, Chip):
        return machine.circuit
    if not isinstance(machine, Circuit):
        raise Error(f"{shown(machine)} is no circuit: pass a Circuit (map_model makes one) or a Chip (fabricate)")
    return machine


def _check_transistors(circuit: Circuit, spread: Spread) -> None:
    """Raises Error for a spread that nothing would have. A circuit without cells has nothing that could lack any."""
    if not spread.of_transistors or not circuit.terms:
        return
    if any(term.of_transistors for term in circuit.terms.values()):
        return
    if any(node.conveyors is not None for node in circuit.arrays.values()):
        return
    name = next(name for name in OF_TRANSISTORS if getattr(spread, name))
    raise Error(
        f"{name} {getattr(spread, name)!r} is about transistors and circuit {circuit.name!r} has none: "
        "give it a device card, or use mismatch"
    )


def _residuals(trim: Mapping[str, float] | None) -> dict[str, float]:
    """What each trim leaves, checked."""
    if trim is not None and not isinstance(trim, Mapping):
        raise Error(f"trim is {shown(trim)}: say what it leaves, such as trim={{'auto-zero': 0.001}}")
    for name, sigma in (trim or {}).items():
        if name not in TRIMS:
            raise Error(f"trim {name!r} is unknown: use {' or '.join(TRIMS)}")
        check_spread(f"trim {name}", name.replace("-", "_"), sigma)
    return dict(trim or {})
