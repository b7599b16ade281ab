"""How the units of a transistor coupling are programmed, and what a chip makes of them: control, devices, factors.

A unit of conductance G has m fingers, each at the control voltage V = control(G/m): the gate of its transistors, of a
quad the difference between two. Of transistor k of a unit the threshold is off by δ_k and the current by a share β_k
(`transistor_errors.py`). With o and e the odd and the even part of a pair's current, o, e = ½ [f(V, v/2) ∓ f(V, −v/2)],
a finger carries

    single   ½ (1 + β) f(V − δ, v/2)
    pair     ½ Σ_k (1 + β_k) [o ± e](V − δ_k, v)                     signs + −
    quad     the same at V_b + V/2, less that of two more at V_b − V/2

so that e cancels in equal devices. Write-verify moves V until the unit conducts what it should; e stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import block_diag

from ..errors import Error
from .polynomials import lowest_powers

if TYPE_CHECKING:
    from ..devices.card import DeviceCard
    from .channel import Ends
    from .converter import Converter
    from .polynomials import Polynomial
    from .transistor_errors import Devices

Array = Any
BLOCK = 1 << 16  # units that are worked on together: their numbers stay in a processor's cache
TURNS = 3  # of Newton's method, from a control some millivolts off: to rounding
STRIDE = 0.1  # volts: the longest step


class Transistor(NamedTuple):
    """What one of a unit's contributes: so much of o, of e, with its gate at V_b + gate·V."""

    odd: float
    even: float
    gate: float


UNITS = {
    "single": (Transistor(1, 0, 1),),
    "pair": (Transistor(0.5, 0.5, 1), Transistor(0.5, -0.5, 1)),
    "quad": (
        Transistor(0.5, 0.5, 0.5), Transistor(0.5, -0.5, 0.5), Transistor(-0.5, -0.5, -0.5),
        Transistor(-0.5, 0.5, -0.5),
    ),
}  # fmt: skip


def fingers_for(card: DeviceCard, siemens: float) -> int:
    """Transistors in parallel that a conductance needs at the highest control voltage."""
    return max(1, int(np.ceil(siemens / float(card.conductance(card.reach)) * (1 - 1e-9))))


def control_of(card: DeviceCard, siemens: Array) -> Array:
    """Control voltage at which a finger conducts so much [S], >= 0; the highest for what rounding puts beyond it."""
    return np.asarray(card.control(np.minimum(siemens, float(card.conductance(card.reach)))))


def at_inputs(card: DeviceCard, control: Array, ends: Ends) -> Array:
    """G + iC [S, F] that a finger hangs on either input of a node's conveyors, half of its transistors each."""
    return sum(ends.of(card.bias + transistor.gate * control) for transistor in UNITS[card.unit]) / 2


def basis_of(card: DeviceCard, *, erring: bool) -> tuple[tuple[Polynomial, ...], Array, Array]:
    """(ψ_r of volts, B by which the card's φ are multiplied for them, κ_r [1/V]: a finger conducts Σ φ_r κ_r); where a
    unit's transistors err, those of o and e."""
    parts = _parts(card) if erring else [card]
    found = [lowest_powers(part.coefficients, float(card.volts[-1])) for part in parts]
    shapes = tuple(tuple(float(c) for c in row) for own, _ in found for row in own)
    slopes = [np.linalg.solve(mix, part.shares) for part, (_, mix) in zip(parts, found, strict=True)]
    return shapes, block_diag(*(mix for _, mix in found)), np.concatenate(slopes)


def _parts(card: DeviceCard) -> list[DeviceCard]:
    """Cards of o and, where there is any, of e."""
    own = card if card.pair is None else card.pair
    return [own] if own.even is None or not own.even.rank else [own, own.even]


def factors_of(card: DeviceCard, control: Array, devices: Devices | None) -> Array:
    """φ_r [A] of one finger (…, r) there, the card's own or, of erring transistors, o's and e's."""
    if devices is None:
        return np.asarray(card.factors(control))
    parts = _parts(card)
    found = [np.zeros((*control.shape, part.rank)) for part in parts]
    for transistor, shift, gain in zip(UNITS[card.unit], devices.shift, devices.gain, strict=True):
        gate = _gate(card, parts[0], transistor, control, shift)
        for total, part, share in zip(found, parts, transistor[:2], strict=False):
            total += (share * (1 + gain))[..., None] * part.factors(gate)
    return np.concatenate(found, axis=-1)


def powers_of(card: DeviceCard, control: Array, devices: Devices | None) -> Array:
    """Current of one finger there as powers of v, (…, degree + 1) [A/V^k], lowest first."""
    if devices is None:
        return np.asarray(card.factors(control) @ card.coefficients)
    parts, found = _parts(card), factors_of(card, control, devices)
    total = np.zeros((*control.shape, max(part.coefficients.shape[1] for part in parts)))
    for part in parts:
        own, found = found[..., : part.rank], found[..., part.rank :]
        total[..., : part.coefficients.shape[1]] += own @ part.coefficients
    return total


def _gate(card: DeviceCard, own: DeviceCard, transistor: Transistor, control: Array, shift: Array) -> Array:
    """Where a transistor's gate is, less what its threshold is off, within what was measured."""
    return np.clip(card.bias + transistor.gate * control - shift, float(own.gates[0]), float(own.gates[-1]))


def both_pairs(card: DeviceCard, control: Array) -> Array:
    """φ_r [A] of the sum of a quad's two pairs, (…, r) of their card: what its noise, heat and loading are of."""
    assert card.pair is not None
    return sum(card.pair.factors(card.bias + side * control / 2) for side in (1, -1))


def lowered(card: DeviceCard, volts: float) -> float:
    """What gates [V] drive by less where their drivers' sides stand so much higher (`lift.py`): 0 of quads, whose two
    pairs lose alike, and where the card has not measured it."""
    if card.unit == "quad" or "feedback" not in card.cells:
        return 0.0
    return float(card.cells["feedback"].weighs(card.cells["feedback"].gates)) * volts


def square_of(even: DeviceCard, control: Array) -> Array:
    """E [A/V²] with e(V, v) = E(V) v² in least squares over full scale: ∫ e v² / ∫ v⁴."""
    power = np.arange(even.coefficients.shape[1])
    moment = np.where(power % 2 == 0, 5.0 * even.full_scale ** (power - 2.0) / (power + 3), 0.0)
    return even.factors(control) @ (even.coefficients @ moment)


def verified_control(
    card: DeviceCard, control: Array, siemens: Array, devices: Devices, dac: Converter | None, lowered: float
) -> Array:
    """Control voltages at which fingers of these devices conduct so much, as near as their range and the DAC allow.

    lowered [V]: what they drive by less where the units stand, which a write that measures there makes up for.
    """
    lowest = -card.reach if card.unit == "quad" else float(card.gates[0])
    first = sum(t.odd * shift for t, shift in zip(UNITS[card.unit], devices.shift, strict=True))
    found = np.clip(control + first + lowered, lowest, card.reach)
    for _ in range(TURNS):
        here, slope = _conductance(card, found - lowered, devices)
        step = (siemens - here) / np.where(slope > 0, slope, np.inf)
        found = np.clip(found + np.clip(step, -STRIDE, STRIDE), lowest, card.reach)
    return found if dac is None else dac(found, card.reach)


def _conductance(card: DeviceCard, control: Array, devices: Devices) -> tuple[Array, Array]:
    """(G of a finger [S], its derivative by the control voltage [S/V]); an even current has no slope at rest."""
    own: Array = _parts(card)[0]
    found, slope = np.zeros(control.shape), np.zeros(control.shape)
    for t, shift, gain in zip(UNITS[card.unit], devices.shift, devices.gain, strict=True):
        each, steeper = own.conductance_and_slope(_gate(card, own, t, control, shift))
        found += t.odd * (1 + gain) * each
        slope += t.odd * t.gate * (1 + gain) * steeper
    return found, slope


def check_reach(card: DeviceCard, name: str, volts: float) -> None:
    """Raises Error where nodes of an array go beyond the volts at which the card was measured."""
    if volts > float(card.volts[-1]) * (1 + 1e-9):
        raise Error(
            f"nodes of {name!r} reach ±{volts:.3g} V, the device card ±{float(card.volts[-1]):.3g} V: characterize "
            "over a wider swing, or lower supply.swing"
        )
