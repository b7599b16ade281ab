"""Common mode of nodes of driven feedback: how far both sides stand above V_CM while the gate moves.

The gate pushes its channel's charge into both sides alike, and the common-mode amplifier (`mos/common_mode.py`) drains
it by its g_c. With m fingers of C_p each (`FeedbackCard.pushed`, at the gate that most stand at),

    2C dc/dt = m C_p dV_g/dt − g_c c        so with y behind the control, τ dy/dt = x_c − y, τ = 2C/g_c,
    c = κ s (x_c − y),        κ = m C_p/2C, some 0.08,    V_g = V₀ + s x_c

Both sides c higher are a gate χ c lower (`FeedbackCard.body`), of the feedback device and of the couplings that the
node drives: 13 mV of a root that comes up in a nanosecond, some 2 % of the one, up to 8 % of the other. A coupling's
own ends at V_CM do not matter to it: pairs conduct β(V_g − V_t − c)v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .mos.common_mode import HOLDS
from .mos.node import driven_line
from .transit import TransitDrive, TransitNode, lag_of

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .node import NodeArray
    from .term import Array


@dataclass(frozen=True)
class Lift:
    """c = volts (x_c − y): control x_c and late y are arrays; volts [V] fit the node's shape; body χ; share χκ: what of
    a step of the gate is lost."""

    control: str
    late: str
    volts: Array
    body: float
    share: float


def lift_of(node: NodeArray, circuit: Circuit, card: DeviceCard) -> tuple[Lift, TransitDrive, TransitNode] | None:
    """The lift of a node of driven feedback, what drives its y, and y. None where the control stands, as inputs do, or
    the card has not measured what a gate pushes."""
    feedback = node.feedback
    if feedback is None or circuit.arrays[feedback.control].clamped or "feedback" not in card.cells:
        return None
    line, device = driven_line(card.pair or card, node, circuit), card.cells["feedback"]
    farads = 2 * float(np.mean(node.capacitance))
    pushed, body = device.pushes(line.usual), device.weighs(line.usual)
    kappa = line.fingers * pushed / farads
    control = circuit.arrays[feedback.control]
    drive, late = lag_of(control, f"{node.name}.lift", farads / HOLDS, node.layer)
    volts = kappa * line.per_siemens * node.conductance * np.asarray(feedback.gain, float)
    return Lift(feedback.control, late.name, volts, body, body * kappa), drive, late


def overdrive(card: DeviceCard, gates: Array) -> float:
    """∂ln G/∂V [1/V] of units of a card at gates, each by its G²."""
    siemens, slope = card.conductance_and_slope(gates)
    return float((siemens * slope).sum() / (siemens**2).sum())
