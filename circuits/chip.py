"""A Chip: one fabricated instance of a Circuit, everything static drawn once and frozen.

Trim comes after fabrication: `none`; `write-verify` brings every coupling and gain within a residual σ of its
target; `auto-zero` does the same for offsets. A trim replaces the spread it acts on by its residual; write-verify of
transistors moves their gates instead, so that their conductance is within σ and the rest of their law is as drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import checks
from .cells.converter import converter
from .cells.mismatch import Draw, Spread
from .circuit import Circuit
from .errors import Error, shown

if TYPE_CHECKING:
    from .devices.card import DeviceCard
    from .technology import Technology

TRIMS = {"write-verify": ("mismatch", "vt_mismatch"), "auto-zero": ("offset",)}


@dataclass(frozen=True)
class Chip:
    """`circuit` with this chip's devices in it; `seed` and what it was made with; weight_bits of its DACs, or None."""

    circuit: Circuit
    seed: int
    spread: Spread
    trim: dict[str, float]
    weight_bits: int | None = None


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
    current of an array's transistors rise by from one coupling to the next, in the direction gradient_angle [degrees]
    (0 along a row).
    trim: {"write-verify": σ, "auto-zero": σ} residuals. weight_bits: of the DACs that write weights and biases, over
    each row's largest |G|; 2 … 24, None: exact. Devices err on top of what is written.

    Raises Error for spreads outside 0 … 10 and unknown trims.
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
        if name == "write-verify" and spread.of_transistors:
            spread = replace(spread, write_verify=sigma)
    draw = Draw(seed)
    dac = converter("weight_bits", weight_bits)
    written = [term if dac is None else term.quantized(circuit, dac) for term in circuit.terms.values()]
    terms = [term.fabricate(circuit, spread, draw) for term in written]
    nodes = [node.fabricate(spread, draw) for node in circuit.arrays.values()]
    return Chip(circuit.with_terms(terms, nodes), seed, spread, dict(trim or {}), weight_bits)


def pelgrom_areas(technology: Technology, wanted: bool, device_card: DeviceCard | None) -> dict[str, float]:
    """Pelgrom's coefficients for `fabricate`, none if not wanted. Raises Error where there is no transistor."""
    if not wanted:
        return {}
    if device_card is None:
        raise Error("pelgrom is about transistors and there is no device card: give one, or use mismatch")
    own = technology.mismatch
    return {"threshold_area": own.threshold_area, "beta_area": own.beta_area}


def circuit_of(machine: Circuit | Chip) -> Circuit:
    """The circuit as this chip has it, or the ideal one. Raises Error for anything else."""
    if isinstance(machine, Chip):
        return machine.circuit
    if not isinstance(machine, Circuit):
        raise Error(f"{shown(machine)} is no circuit: pass a Circuit (map_model makes one) or a Chip (fabricate)")
    return machine


def _residuals(trim: Mapping[str, float] | None) -> dict[str, float]:
    """What each trim leaves, checked."""
    if trim is not None and not isinstance(trim, Mapping):
        raise Error(f"trim is {shown(trim)}: say what it leaves, such as trim={{'auto-zero': 0.001}}")
    for name, sigma in (trim or {}).items():
        if name not in TRIMS:
            raise Error(f"trim {name!r} is unknown: use {' or '.join(TRIMS)}")
        fix = "it is what remains, a standard deviation of 0 … 10"
        if checks.number(f"trim {name}", sigma, fix, least=0) >= 10:
            raise Error(f"trim {name} is {sigma!r}: {fix}")
    return dict(trim or {})
