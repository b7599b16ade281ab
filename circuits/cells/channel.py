"""Noise of the transistors inside transfer cells: saturated channels, in one law from weak to strong inversion.

    4kT·G(I),     G = a (I / V_T) / (1 + √(1 + 4 I/I_s))           V_T = kT/q

the transconductance of the EKV model (Enz, Krummenacher & Vittoz, AICSP 8, 1995) times a constant. In weak inversion, I
far under the specific current I_s, 4kT·G = 2qI·a: shot noise for a = 1.

A mirror's diode is a pole, τ_m = C / g_m = C′/G(I). White noise that passes it into a node of τ makes 1/(1 + τ_m/τ) of
the variance it would make straight in the node; noise of a cell is stated as the white noise of equal variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import module_of

if TYPE_CHECKING:
    from ..circuit import Circuit

Array = Any
LEAST = 1e-15  # A: a current that is none, so that its pole is a number


@dataclass(frozen=True)
class Channel:
    """factor: a; current: I_s [A]; capacitance: C′ [F] of a diode, by its noise conductance."""

    factor: float
    current: float
    capacitance: float = 0.0

    def siemens(self, amperes: Array, thermal_voltage: float) -> Array:
        """G [S] at drain currents I >= 0 [A]; thermal_voltage: kT/q [V]."""
        return self.factor / thermal_voltage * amperes / (1 + module_of(amperes).sqrt(1 + 4 / self.current * amperes))


@dataclass(frozen=True)
class Channels:
    """What ngspice measured of the cells' transistors (`measure_channels`).

    Of transfer cells: the pair's branches (I_s as a share of the tail current), p- and n-channel output mirrors at
    ratio 1 (`mos/mirror.py`), a rectifier's mirrors together, by the current of its diode (`mos/rectifier.py`), and the
    tail sink, as `tail` times the shot noise of its current.
    Of a finger of a product's quad (`mos/product.py`), difference [S] of its pairs' conductances at the largest control
    and standing [S], their sum; conveyor [S]: noise of the copy that a rectifier's conveyor makes.
    """

    branch: Channel
    p: Channel
    n: Channel
    rectifier: Channel
    tail: float
    difference: float
    standing: float
    conveyor: float = 0.0

    def branches(self, tail_current: float) -> Channel:
        """Those of a pair with this tail current [A], whose width goes with it."""
        return Channel(self.branch.factor, self.branch.current * tail_current)


@dataclass(frozen=True)
class OutputMirrors:
    """Mirrors that turn a branch's I into r·I in a node: r into one conveyor and, turned round, r out of the other.

    ratio: r, by node; tau [s]: of the node; thermal_voltage [V].
    """

    channels: Channels
    ratio: Array
    tau: Array
    thermal_voltage: float

    def noise(self, amperes: Array, shot: Array) -> Array:
        """G [S] in the node of a branch of I [A] whose own current has `shot` [S].

        Half the difference of both ends: the branch and the p diode, r each; p's copy and the turned one, r wide, ½
        each; the n-channel diode and its copy, ½ each:  r² (G_b + G_p) + ½ r G_p(I) + ½ G_n(r I), each less by the
        poles it passes; what goes through both diodes by τ_p + τ_n/2, as half of it does.
        """
        amperes, r = amperes + LEAST, self.ratio + LEAST
        p, n = self.channels.p, self.channels.n
        of_p, of_n = p.siemens(amperes, self.thermal_voltage), n.siemens(r * amperes, self.thermal_voltage)
        late_p, late_n = (1 + 2 * r) / 3 * p.capacitance / of_p / self.tau, n.capacitance / of_n / self.tau
        passed = r * r * (shot + of_p) / (1 + late_p + late_n / 2)
        return passed + (r * of_p + of_n) / 4 * (1 + 1 / (1 + late_n))


def with_channels(circuit: Circuit, channels: Channels | None) -> Circuit:
    """A copy of a circuit whose products and transfer cells have the noise of measured transistors; None: of ideal
    cells."""
    return circuit.with_terms([term.measured(channels) for term in circuit.terms.values()])


def time_constant(node: Any) -> Array:
    """C/g [s] of nodes, in their shape."""
    return np.broadcast_to(np.asarray(node.time_constants / node.ratio, float), node.shape)
